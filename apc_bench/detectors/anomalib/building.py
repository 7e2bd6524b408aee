"""A model of anomalib as a method's settings make it, before it has learned anything."""

import contextlib
import inspect
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from anomalib.models import image as models
from timm.models import vision_transformer
from torch import nn
from torchvision.datasets.folder import IMG_EXTENSIONS, has_file_allowed_extension

from apc_bench.detectors.anomalib.networks import Asked
from apc_bench.detectors.anomalib.surroundings import quiet
from apc_bench.errors import ApcError, UsageError, WeightsError, unknown
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.state_files import State, read_state, state_dict_of
from apc_bench.networks.timm_backbone import TimmBackbone
from apc_bench.settings.anomalib import OURS, AnomalibSettings
from apc_bench.settings.backbones import is_network
from apc_bench.settings.sweep import Method


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """`module`: anomalib's Lightning module. `side`: of the square images that it takes, in pixels.
    `loaded`: the networks in it that keep their weights. `notes`: what a reader must know.
    `resample`: timm's function for position embeddings, as anomalib changed it for the process.
    """

    module: Any
    side: int
    loaded: tuple[nn.Module, ...]
    notes: tuple[str, ...]
    resample: Callable[..., Any]

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """The model may be used: timm resamples position embeddings as anomalib wants it."""
        with quiet(), _resampling(self.resample):
            yield

    def learned(self) -> dict[str, torch.Tensor]:
        """The model's tensors but for those of `loaded`, on the CPU."""
        kept = {
            value.data_ptr() for network in self.loaded for value in network.state_dict().values()
        }
        state = self.module.model.state_dict()
        return {
            name: value.detach().cpu().contiguous()
            for name, value in state.items()
            if value.data_ptr() not in kept
        }

    def load_learned(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Takes over what `learned` gave."""
        self.module.model.load_state_dict({**self.module.model.state_dict(), **tensors})


def build(method: Method, weights: Path, size: int) -> Built:
    """The method's model for images of `size` pixels; its random numbers are torch's.

    Raises UsageError where anomalib's constructor refuses, WeightsError for weights that do not
    fit.
    """
    settings = method.settings
    assert isinstance(settings, AnomalibSettings)
    kind = getattr(models, settings.model)
    check_arguments(settings, kind)
    asked = Asked(method.backbone, weights)
    layers: tuple[str, ...] = ()
    values = 0
    multiple, notes = settings.spec.multiple, list[str]()
    if is_network(method.backbone):
        backbone, notes = load_backbone(method.backbone, weights)
        layers = backbone.select(settings.layers) if settings.layers else ()
        values = sum(backbone.channels[layer] for layer in layers)
        if isinstance(backbone, TimmBackbone):
            multiple = max(multiple, backbone.patch)
    side = max(settings.spec.least, multiple * max(1, int(size / multiple + 0.5)))
    arguments = _arguments(settings, kind, asked, layers)
    timms = vision_transformer.resample_abs_pos_embed
    with quiet(), _resampling(timms), asked.instead_of_timm():
        try:
            module = kind(**arguments, pre_processor=_pre_processor(kind, side))
        except ApcError as error:
            raise type(error)(f"anomalib's {settings.model}: {error}") from error
        # What a constructor says of its arguments is not documented.
        except Exception as error:
            reason = str(error).replace(asked.name, method.backbone)
            raise UsageError(_refusal(method, values, reason)) from error
        resample = vision_transformer.resample_abs_pos_embed
    if settings.model == "EfficientAd":
        _give_teacher(module, weights)
    if side != size:
        why = f"a multiple of {multiple} px" if multiple > 1 else ""
        if side == settings.spec.least:
            why = "the smallest that it takes"
        notes.append(
            f"anomalib's {settings.model} sees images of {size} px resized to {side} px, {why}"
        )
    return Built(module, side, tuple(asked.loaded), tuple(notes), resample)


def _refusal(method: Method, values: int, reason: str) -> str:
    """Why anomalib's constructor refuses a method whose patches have so many values."""
    settings = method.settings
    assert isinstance(settings, AnomalibSettings)
    if settings.model == "Padim" and "n_features" in reason:
        given = settings.model_args.get("n_features")
        usual = f"got {given}" if given else f"there is no usual number for '{method.backbone}'"
        return (
            f"anomalib's Padim keeps n_features of the {values} values that a patch has on backbone"
            f" '{method.backbone}': set model_args.n_features, 1 to {values} ({usual})"
        )
    reason = " ".join(reason.split())[:200]
    return f"anomalib's {settings.model} cannot be made with these settings: {reason}"


def _resampling(function: Callable[..., Any]) -> Any:
    """anomalib changes it for good, which other backbones in this process would feel."""
    return patch.object(vision_transformer, "resample_abs_pos_embed", function)


def check_arguments(settings: AnomalibSettings, kind: Any) -> None:
    """Raises UsageError for an argument that the model's constructor does not have, with those that
    it has.
    """
    known = [name for name in inspect.signature(kind).parameters if name not in OURS]
    for name in settings.model_args:
        if name not in known:
            argument = f"argument of anomalib's {settings.model}"
            raise UsageError(f"model_args: {unknown(argument, name, known)}")


def check_images(settings: AnomalibSettings) -> None:
    """Raises UsageError where the folder of other photos that the model learns from has none."""
    if settings.images is None:
        return
    photos = Path(settings.images).expanduser().glob("*/**/*")
    if not any(has_file_allowed_extension(path.name, IMG_EXTENSIONS) for path in photos):
        raise UsageError(
            f"images: {settings.images} holds no folders of photos; anomalib's {settings.model}"
            f" learns from such, too: {settings.spec.images}"
        )


def _arguments(
    settings: AnomalibSettings, kind: Any, asked: Asked, layers: tuple[str, ...]
) -> dict[str, Any]:
    """What the constructor is given."""
    parameters = inspect.signature(kind).parameters
    ours: dict[str, Any] = dict.fromkeys(("post_processor", "evaluator", "visualizer"), False)
    for name in ("backbone", "encoder_name"):
        if name in parameters:
            ours[name] = asked.name
    if layers:
        ours |= {"layers": list(layers)} if "layers" in parameters else {"layer": layers[0]}
    for name in ("imagenet_dir", "dtd_dir"):
        if name in parameters:
            ours[name] = Path(str(settings.images)).expanduser()
    given = dict(settings.model_args)
    for name, value in given.items():
        # YAML has no tuples.
        if isinstance(value, list) and isinstance(parameters[name].default, tuple):
            given[name] = tuple(value)
    return {name: value for name, value in ours.items() if name in parameters} | given


def _pre_processor(kind: Any, side: int) -> Any:
    """anomalib's own, at our size: its resize then changes nothing, and its mean and standard
    deviation stay.
    """
    configure = kind.configure_pre_processor
    crops = "crop_size" in inspect.signature(configure).parameters
    return configure(image_size=(side, side), **({"crop_size": side} if crops else {}))


def _give_teacher(module: Any, weights: Path) -> None:
    """EfficientAd's teacher with its weights, which the model else downloads when it is trained.
    Raises WeightsError where the file has not them.
    """
    size = str(module.model_size.value)
    teacher = module.model.teacher
    state = _teacher_state(weights, f"pretrained_teacher_{size}.pth")
    expected = {name: value.shape for name, value in teacher.state_dict().items()}
    if {name: value.shape for name, value in state.items()} != expected:
        raise WeightsError(f"weights {weights} are not of EfficientAd's {size} teacher")
    teacher.load_state_dict(dict(state))
    module.prepare_pretrained_model = lambda: None


def _teacher_state(weights: Path, member: str) -> State:
    """From anomalib's archive of both teachers, or from a file of one."""
    if weights.suffix != ".zip":
        return read_state(weights)
    try:
        with zipfile.ZipFile(weights) as archive:
            name = next(one for one in archive.namelist() if Path(one).name == member)
            content = torch.load(
                io.BytesIO(archive.read(name)), map_location="cpu", weights_only=True
            )
    except StopIteration:
        raise WeightsError(f"weights {weights} hold no {member}") from None
    # What a damaged archive makes torch raise is not documented.
    except Exception as error:
        raise WeightsError(
            f"cannot read weights {weights}: it is damaged; fetch it again"
        ) from error
    return state_dict_of(content, weights)
