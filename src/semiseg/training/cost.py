"""The cost of a training, estimated from one small step: parameters, operations, memory, time."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from semiseg.config.facts import Line
from semiseg.config.feature_views import FeatureViews, decoded_side, drawn_views
from semiseg.config.network import NetworkConfig
from semiseg.config.settings import decided
from semiseg.config.sizing import crop_multiple, crop_of
from semiseg.config.train import TrainConfig
from semiseg.core.text import duration
from semiseg.model.encoders import plain_vit_patch
from semiseg.training.batches import TrainingBatches
from semiseg.training.build import build
from semiseg.training.clock import Clock, run_steps
from semiseg.training.data import TrainingData
from semiseg.training.feature_cache import ProbeFeatures
from semiseg.training.feature_planning import plan_features
from semiseg.training.loaders import training_loader
from semiseg.training.module import TrainingModule
from semiseg.training.place import Place
from semiseg.training.profiling import without_warmup
from semiseg.training.second_stage import second_stages
from semiseg.training.stage import stages_of

_BATCH = 2
_STEPS = 4  # at each crop: one is counted, the others are timed
_QUICK_STEP = 2.0  # seconds
_LONG_STEP = 10.0  # seconds; what makes the first step slower is small beside it
_GIB = 2**30


class CostEstimate(NamedTuple):
    """What one small step says about a training.

    Attributes:
        device: the kind of device that it ran on.
        crop: the side of the step's crops, in pixels.
        images: the step's labeled images, and as many unlabeled ones if any, in words.
        parameters: the parameters of the student.
        trained: those of them that are trained.
        operations: the floating-point operations of the step, forward and backward.
        step_operations: those of a step of the training.
        memory: the bytes that the step needs at least: weights, gradients, optimizer, teacher, and
            what is kept for the backward pass.
        step_memory: those of a step of the training, on each device.
        seconds: the seconds of such a step after the first, without reading images; of the first,
            if that took more than ten seconds.
        hours: the hours of the training on as many such devices, without validations.
        filling_hours: those of them that compute the features that are cached.
        whole: the training in words.
        stages: its stages in words; none for a training with one stage.
    """

    device: str
    crop: int
    images: str
    parameters: int
    trained: int
    operations: int
    step_operations: int
    memory: int
    step_memory: int
    seconds: float
    hours: float
    filling_hours: float
    whole: str
    stages: tuple[str, ...] = ()

    def text(self) -> str:
        """One line for each figure."""
        trained = f"; {self.trained / 1e6:.2g} million of them are trained"
        trained = trained if self.trained < self.parameters else ""
        filling = f", {duration(3600 * self.filling_hours)} of it to fill the cache of features"
        filling = filling if self.filling_hours else ""
        labeling = ", the labeling" if self.stages else ""
        this = f"this step of {self.images} images at {self.crop} x {self.crop}"
        return "\n".join(
            (
                f"parameters  {self.parameters / 1e6:.1f} million{trained}",
                f"operations  {self.operations / 1e12:.3g} TFLOP {this}; "
                f"{self.step_operations / 1e12:.3g} TFLOP a step of {self.whole}",
                f"memory      {self.memory / _GIB:.2f} GiB this step; about "
                f"{self.step_memory / _GIB:.1f} GiB on each device",
                f"time        {self.seconds:.1f} s such a step; about "
                f"{duration(3600 * self.hours)} in all on such a device ({self.device}){filling}, "
                f"without the start, the validations{labeling} and the report",
                *(f"stages      {'; '.join(self.stages)}" for _ in self.stages[:1]),
            )
        )


def estimate_stages(
    config: TrainConfig, request: NetworkConfig, data: TrainingData, place: Place
) -> CostEstimate:
    """The cost of a training with all its stages; the figures of a step are of the last stage.

    A second network counts as a stage.

    Args:
        config: the settings, as planned, of a training on all its devices.
        request: the settings of the network before the plan.
        data: the images.
        place: the device of these steps.

    Raises:
        HubError: the encoder's weights cannot be fetched.
        ConfigError: the features that the user asked for cannot be cached.
    """
    stages = stages_of(config, unlabeled=bool(data.unlabeled))
    stages = (*second_stages(config, place.kind, bool(data.unlabeled)), *stages)
    costs = [
        estimate_cost(
            stage.config,
            NetworkConfig() if stage.is_second else request,
            data.labeled_only() if stage.labeled_only else data,
            place,
        )
        for stage in stages
    ]
    return costs[-1]._replace(
        hours=sum(cost.hours for cost in costs),
        filling_hours=sum(cost.filling_hours for cost in costs),
        stages=tuple(map(str, stages)) if stages[1:] else (),
    )


def estimate_cost(
    config: TrainConfig, request: NetworkConfig, data: TrainingData, place: Place
) -> CostEstimate:
    """Take steps of 2 + 2 images at half the crop, and extrapolate.

    Operations and memory are assumed to grow with the number of pixels. What a loss computes by
    class does not, and is small beside the network. Where steps are quick, some more are taken at
    the whole crop, and the time is a line through both.

    Args:
        config: the settings, as planned, of a training on all its devices.
        request: the settings of the network before the plan.
        data: the images.
        place: the device of these steps.

    Raises:
        HubError: the encoder's weights cannot be fetched.
        ConfigError: the features that the user asked for cannot be cached.
    """
    whole_crop, batch = decided(config.views.crop), decided(config.schedule.batch)
    schedule, world = config.schedule, config.machine.world
    crop = crop_of(whole_crop // 2, crop_multiple(plain_vit_patch(config.network.encoder)))
    config = without_warmup(config)
    module = build(config, data)
    config = plan_features(config, request, data, module.method.student)
    small = config.replaced(batch=_BATCH, steps=_STEPS, accumulate=1, workers=0, crop=crop)
    fixed = _fixed_memory(module, config.optimizer.optimizer)
    counter, saved, counting = FlopCounterMode(display=False), _SavedTensors(module), ExitStack()
    with counting:
        counting.enter_context(counter)
        counting.enter_context(saved_tensors_hooks(saved.pack, saved.unpack))
        seconds, view_seconds = _step_seconds(small, data, place, module, counting)
    views, window = decided(config.network.feature_views), config.network.feature_window
    side, whole_side = (decoded_side(one, window, views) for one in (crop, whole_crop))
    points = [(float(_BATCH * side**2), seconds)]
    if seconds < _QUICK_STEP and crop < whole_crop:  # the part that does not grow counts
        large, _ = _step_seconds(small.replaced(crop=whole_crop), data, place, module)
        points.append((float(_BATCH * whole_side**2), large))
    step = Line.through(*points).at(batch * whole_side**2)
    ratio = batch * whole_side**2 / (_BATCH * side**2)
    operations = counter.get_total_flops()
    devices = f" on {world} devices" if world > 1 else ""
    whole, images = (f"{n} + {n}" if data.unlabeled else f"{n}" for n in (batch, _BATCH))
    steps = decided(schedule.steps)
    filling = _views_to_fill(config, data) * view_seconds * whole_crop**2 / crop**2
    networks = module.method.students()
    parameters = [p for network in networks for p in network.parameters()]
    return CostEstimate(
        device=place.kind,
        crop=crop,
        images=images,
        parameters=sum(p.numel() for p in parameters),
        trained=sum(p.numel() for p in parameters if p.requires_grad),
        operations=operations,
        step_operations=round(operations * ratio * schedule.accumulate),
        memory=fixed + saved.bytes,
        step_memory=fixed + round(saved.bytes * ratio / world),
        seconds=seconds,
        hours=(step * schedule.accumulate * steps + filling) / world / 3600,
        filling_hours=filling / world / 3600,
        whole=f"{whole} images at {whole_crop} x {whole_crop}{devices}, {steps} of them",
    )


def _step_seconds(
    config: TrainConfig,
    data: TrainingData,
    place: Place,
    module: TrainingModule,
    first_step: ExitStack | None = None,
) -> tuple[float, float]:
    """The seconds of a step, and of the features of a view, 0 if none are cached.

    `first_step` is closed after the first step.
    """
    clock = Clock(_LONG_STEP, 1, first_step=first_step)
    loader = training_loader(config, data, place)
    batches = cast(TrainingBatches, loader.dataset)
    module.features = features = ProbeFeatures(batches, config.network)
    run_steps(config, module, loader, clock)
    return clock.step(), features.seconds or 0.0


def _views_to_fill(config: TrainConfig, data: TrainingData) -> int:
    """The views whose features a training computes once; 0 if none are cached."""
    network, schedule = config.network, config.schedule
    labeled, unlabeled = len(data.split.labeled), len(data.unlabeled)
    views = FeatureViews(decided(network.feature_views), decided(network.unlabeled_feature_views))
    batches = decided(schedule.steps) * schedule.accumulate
    strong = config.settings.strong_views
    drawn = batches * drawn_views(decided(schedule.batch), unlabeled, strong)
    return min(views.entries(labeled, unlabeled, strong), drawn)


def _fixed_memory(module: TrainingModule, optimizer: str) -> int:
    """The bytes that do not depend on the batch."""
    parameters = module.method.trained_parameters()
    trained = sum(p.numel() * p.element_size() for p in parameters)
    state = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    moments = 1 if optimizer == "sgd" else 2
    return int(state) + int(trained) * (1 + moments)


class _SavedTensors:
    """Counts the bytes that are kept for the backward pass, without the parameters."""

    def __init__(self, module: nn.Module) -> None:
        self.storages = {p.untyped_storage().data_ptr() for p in module.parameters()}
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        """A tensor is kept."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.storages:
            self.storages.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        """It is needed."""
        return tensor
