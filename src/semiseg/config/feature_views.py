"""How many fixed views of each image have cached features: the rule, and what fits on the disk."""

from __future__ import annotations

from typing import NamedTuple

from semiseg.config.facts import Facts
from semiseg.config.network import NetworkConfig
from semiseg.config.settings import AUTO, unless_auto

AUTO_VIEWS = 32
"""The views of each labeled image where the frozen part of the network runs on a CPU."""

WINDOW_OF_SECOND = 224
"""The side, in pixels, of the part of a cached view that a step of a second network decodes: the
usual crop, so that a step takes as long at a larger working size."""

_MIN_VIEWS_OF_SECOND = 8
_MIN_UNLABELED_VIEWS = 2
_MIN_VIEWS = 4  # with fewer, a labeled image looks nearly the same in each step


class FeatureViews(NamedTuple):
    """The number of fixed views of each image; 0 if each step draws new ones.

    Attributes:
        labeled: the views of each labeled image.
        unlabeled: the views of each unlabeled image. Each has a weak variant and strong ones.
    """

    labeled: int = 0
    unlabeled: int = 0

    def entries(self, labeled: int, unlabeled: int, strong: int) -> int:
        """The entries of a cache for so many images; `strong` is the number of strong variants.

        Example:
            >>> FeatureViews(labeled=3, unlabeled=2).entries(labeled=10, unlabeled=50, strong=2)
            330
        """
        return self.labeled * labeled + (1 + strong) * self.unlabeled * unlabeled


def views_of_second(scale: float, device: str) -> int:
    """The cached views of each labeled image for a second network; 0 on other devices than a CPU.

    A view costs the square of the scale. With fewer views of larger images, the features take as
    long as those at the working size of the training, up to a scale of 2.

    Args:
        scale: its working size, as a factor on that of the training.
        device: `cpu`, `cuda` or `mps`.

    Example:
        >>> [views_of_second(scale, "cpu") for scale in (0.5, 1.0, 1.5, 2.0, 3.0)]
        [32, 32, 14, 8, 8]
        >>> views_of_second(1.0, "cuda")
        0
    """
    if device != "cpu":
        return 0
    return max(_MIN_VIEWS_OF_SECOND, min(AUTO_VIEWS, round(AUTO_VIEWS / scale**2)))


def decoded_side(crop: int, window: int, views: int) -> int:
    """The side, in pixels, of what a step decodes of each view.

    Args:
        crop: the side of a view.
        window: the side of the part that a step decodes of a cached view; 0 for all of it.
        views: the number of fixed views of each labeled image; 0 if nothing is cached.

    Example:
        >>> decoded_side(448, 224, 8), decoded_side(448, 224, 0), decoded_side(128, 224, 8)
        (224, 448, 128)
    """
    return min(crop, window) if window and views else crop


def drawn_views(batch: int, unlabeled: int, strong: int) -> int:
    """The entries of a cache that one micro batch needs.

    Args:
        batch: the labeled images, and as many unlabeled ones if any.
        unlabeled: the unlabeled images of the training.
        strong: the strong variants of each unlabeled image, beside the weak one.
    """
    return (2 + strong) * batch if unlabeled else batch


def choose_feature_views(network: NetworkConfig, facts: Facts, usable: bool = True) -> FeatureViews:
    """The views of a training; what the user gave stays.

    On a GPU the frozen part takes little of a step, and new views in each step are worth more.

    Args:
        network: the settings of the network.
        facts: the data and the device.
        usable: whether the method can use cached features.
    """
    if not usable:
        return FeatureViews()
    frozen = network.trained_part.part in ("head", "last")
    by_rule = AUTO_VIEWS if frozen and facts.device == "cpu" else 0
    labeled = unless_auto(network.feature_views, by_rule)
    unlabeled = labeled
    if facts.unlabeled:
        equal_effort = round(labeled * facts.labeled / facts.unlabeled)
        unlabeled = min(labeled, max(_MIN_UNLABELED_VIEWS, equal_effort))
    return FeatureViews(labeled, unless_auto(network.unlabeled_feature_views, unlabeled))


def fit_feature_views(
    views: FeatureViews,
    request: NetworkConfig,
    labeled: int,
    unlabeled: int,
    room: int,
    strong: int = 1,
) -> FeatureViews | None:
    """The views that fit on the disk: first fewer of unlabeled images, then fewer of labeled ones.

    Args:
        views: the views of the plan.
        request: the settings before the plan; views that are not `auto` there stay.
        labeled: the number of labeled images.
        unlabeled: the number of unlabeled images.
        room: the entries that fit.
        strong: the strong variants of each view of an unlabeled image.

    Returns:
        The views; None if too few fit.

    Example:
        >>> views, request = FeatureViews(32, 6), NetworkConfig()
        >>> fit_feature_views(views, request, labeled=10, unlabeled=50, room=500)
        FeatureViews(labeled=32, unlabeled=1)
        >>> fit_feature_views(views, request, labeled=10, unlabeled=50, room=200)
        FeatureViews(labeled=10, unlabeled=1)
        >>> fit_feature_views(views, request, labeled=10, unlabeled=50, room=100) is None
        True
    """
    if unlabeled and request.unlabeled_feature_views == AUTO:
        rest = (room - views.labeled * labeled) // ((1 + strong) * unlabeled)
        views = views._replace(unlabeled=min(views.unlabeled, max(1, rest)))
    if request.feature_views == AUTO:
        rest = (room - (1 + strong) * views.unlabeled * unlabeled) // labeled
        views = views._replace(labeled=min(views.labeled, max(_MIN_VIEWS, rest)))
    return views if views.entries(labeled, unlabeled, strong) <= room else None
