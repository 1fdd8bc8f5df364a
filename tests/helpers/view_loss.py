"""The loss of FixMatch and its kin on one strong view, pixel by pixel in plain Python."""

import math

import torch.nn.functional as F

from semiseg.augment.mixing import draw_boxes, draw_partners


def enlarge(logits, size):
    """Logits at the size of the crop, as nested lists in double precision."""
    large = F.interpolate(logits.detach().double(), size=(size, size), mode="bilinear")
    return large.tolist()


def softmax(values):
    top = max(values)
    exponentials = [math.exp(v - top) for v in values]
    return [e / sum(exponentials) for e in exponentials]


def draws(step, batch, size, purpose="mix", draw=draw_boxes):
    """The partners and the boxes of a view."""
    generator = step.key.child(purpose).torch()
    return draw_partners(batch, generator), draw(batch, size, size, generator)


def view_loss(weak, student, valid, threshold, partners=None, boxes=None):
    """The loss of one view, and the pixels that are taught and valid.

    Args:
        weak: `(B, C, h, w)`, the logits that label the weak views.
        student: `(B, C, h, w)`, the student's logits of the view.
        valid: `(B, H, W)` bool.
        threshold: the lowest confidence.
        partners: the partner of each image; None for a view without CutMix.
        boxes: `(B, H, W)` bool.
    """
    size = valid.shape[-1]
    labels, predictions = enlarge(weak, size), enlarge(student, size)
    total, taught, pixels = 0.0, 0, 0
    for image in range(len(labels)):
        for y in range(size):
            for x in range(size):
                mixed = boxes is not None and bool(boxes[image, y, x])
                source = int(partners[image]) if mixed else image
                if not valid[source, y, x]:
                    continue
                pixels += 1
                target = softmax([channel[y][x] for channel in labels[source]])
                if max(target) >= threshold:
                    taught += 1
                    ours = softmax([channel[y][x] for channel in predictions[image]])
                    total -= math.log(ours[target.index(max(target))])
    return total / pixels, taught, pixels
