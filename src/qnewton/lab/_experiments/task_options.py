"""Table of the tasks, and the options of each: its sizes, and the source of its data.

The docstring under each field is its `--help` text. No imports of jax here: parsing must be quick.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from .limits import COUNT, Limited, at_least, require
from .options import TaskOptions


def _one_source(data: Path | None, hub: str | None) -> None:
    if data is not None and hub is not None:
        raise ValueError(f"--data is {data} and --hub is {hub}: the data come from one place, so omit one of them")


@dataclass(frozen=True)
class PerceptronOptions(TaskOptions):
    """Task: a multilayer perceptron with ReLU on the digits that ship with scikit-learn."""

    width: Annotated[int, COUNT] = 16
    """Units of a hidden layer."""
    depth: Annotated[int, COUNT] = 2
    """Hidden layers."""


@dataclass(frozen=True)
class Digits28Options(PerceptronOptions):
    """Task: a multilayer perceptron with ReLU on the digits of scikit-learn at the size of MNIST's, 28x28."""

    preset: ClassVar[str] = "default"


@dataclass(frozen=True)
class ImageOptions(Limited):
    """Source of images; config.json and the report state which were taken."""

    data: Path | None = None
    """Folder with the four IDX files of MNIST (or of a set in its format), plain or gzip. None: the digits that ship
    with scikit-learn (of mnist-mlp: --hub, or nothing)."""
    hub: str | None = None
    """Data set on the Hugging Face hub, e.g. ylecun/mnist; needs the extra `hub`."""

    def __post_init__(self):
        super().__post_init__()
        _one_source(self.data, self.hub)


@dataclass(frozen=True)
class MnistOptions(PerceptronOptions):
    """Task: a multilayer perceptron with ReLU on MNIST, which has to be given: --data or --hub."""

    preset: ClassVar[str] = "default"

    images: ImageOptions = field(default_factory=ImageOptions)


@dataclass(frozen=True)
class AutoencoderOptions(TaskOptions):
    """Task: a deep tanh autoencoder of images, half the squared error per image."""

    preset: ClassVar[str] = "default"

    hidden: Annotated[tuple[int, ...], at_least(1, "every layer must have at least 1 unit")] = (128, 64, 32)
    """Units of the encoder's hidden layers; the decoder mirrors them."""
    code: Annotated[int, COUNT] = 8
    """Units in the middle."""
    images: ImageOptions = field(default_factory=ImageOptions)


@dataclass(frozen=True)
class ResNetOptions(TaskOptions):
    """Task: a small residual network with group normalisation, on 28x28 images."""

    preset: ClassVar[str] = "default"
    batch_size: ClassVar[int] = 256

    channels: Annotated[int, COUNT] = 8
    """Channels of the first stage; every further stage doubles them and halves the image."""
    stages: Annotated[int, COUNT] = 3
    """Stages."""
    blocks: Annotated[int, COUNT] = 1
    """Residual blocks per stage."""
    images: ImageOptions = field(default_factory=ImageOptions)


@dataclass(frozen=True)
class TextOptions(Limited):
    """Source of text, and its division into sequences; config.json and the report state which text was taken."""

    data: Path | None = None
    """A text file, or the folder of a WikiText (wiki.train.tokens or .raw, and the same for valid or test). None: the
    English documentation inside CPython, pydoc_data.topics."""
    hub: str | None = None
    """Data set on the Hugging Face hub, NAME or NAME:CONFIG, e.g. Salesforce/wikitext:wikitext-2-raw-v1; needs the
    extra `hub`."""
    vocabulary: Annotated[int, at_least(16)] = 1024
    """Tokens; the tokenizer is trained on the training text."""
    length: Annotated[int, at_least(2)] = 64
    """Tokens of a sequence."""
    sequences: Annotated[int | None, COUNT] = None
    """Training sequences at most (a quarter as many held out); None takes all."""

    def __post_init__(self):
        super().__post_init__()
        _one_source(self.data, self.hub)


@dataclass(frozen=True)
class TransformerOptions(TaskOptions):
    """Sizes of a language model, and its text."""

    preset: ClassVar[str] = "fisher-newton"
    batch_size: ClassVar[int] = 128

    layers: Annotated[int, COUNT] = 3
    """Transformer layers."""
    hidden: Annotated[int, COUNT] = 64
    """Width of the residual stream."""
    heads: Annotated[int, COUNT] = 4
    """Attention heads; of gpt-tiny those of the queries."""
    intermediate: Annotated[int, COUNT] = 256
    """Units inside a feed-forward layer."""
    embeddings: Literal["learned", "frozen"] = "learned"
    """learned, or frozen: eigenvectors of the co-occurrence of tokens in the training text, not trained."""
    text: TextOptions = field(default_factory=TextOptions)

    def __post_init__(self):
        super().__post_init__()
        rule = f"it must be a multiple of --heads, {self.heads}"
        require(self.hidden % self.heads == 0, "--hidden is", self.hidden, rule)
        if self.embeddings == "frozen" and self.hidden > self.text.vocabulary:
            raise ValueError(
                f"--hidden is {self.hidden} and --vocabulary {self.text.vocabulary}: frozen embeddings are "
                "eigenvectors over the vocabulary, so it must be the larger"
            )


@dataclass(frozen=True)
class BertOptions(TransformerOptions):
    """Task: masked language model (BERT), 15 % of the tokens to be filled in."""


@dataclass(frozen=True)
class GptOptions(TransformerOptions):
    """Task: next-token language model in Mistral's form (RMS norm, rotary embedding, grouped queries, SwiGLU)."""

    key_value_heads: Annotated[int, COUNT] = 2
    """Heads of keys and values, each shared by a group of query heads."""
    window: Annotated[int, COUNT] = 32
    """Positions that a token attends to, itself among them."""

    def __post_init__(self):
        super().__post_init__()
        rule = f"it must be a multiple of --key-value-heads, {self.key_value_heads}"
        require(self.heads % self.key_value_heads == 0, "--heads is", self.heads, rule)
        if self.hidden // self.heads % 2:
            raise ValueError(
                f"--hidden is {self.hidden} and --heads {self.heads}: the rotary embedding turns pairs of numbers, so "
                "their ratio must be even"
            )


@dataclass(frozen=True)
class PoissonOptions(TaskOptions):
    """Task: physics-informed network for a Poisson equation on the unit square."""

    preset: ClassVar[str] = "default"

    width: Annotated[int, COUNT] = 32
    """Units of a hidden layer."""
    depth: Annotated[int, COUNT] = 2
    """Hidden layers."""
    interior: Annotated[int, at_least(4)] = 400
    """Collocation points inside (half as many held out)."""
    boundary: Annotated[int, at_least(4)] = 80
    """Points on the boundary (half as many held out)."""


@dataclass(frozen=True)
class Registered:
    """A task: who makes it, and from which options.

    Attributes:
        make: a function, or `module:function` in `tasks/`, imported when it is needed; called with the dtype, and with
            the options where the task has some of its own.
        options: their class.
    """

    make: str | Callable[..., Any]
    options: type[TaskOptions] = TaskOptions


TASKS: dict[str, Registered] = {
    "digits-mlp": Registered("perceptron:digits_mlp", PerceptronOptions),
    "digits28": Registered("perceptron:digits28", Digits28Options),
    "mnist-mlp": Registered("perceptron:mnist_mlp", MnistOptions),
    "autoencoder": Registered("autoencoder:autoencoder", AutoencoderOptions),
    "cnn": Registered("resnet:cnn", ResNetOptions),
    "bert-tiny": Registered("bert:bert_tiny", BertOptions),
    "gpt-tiny": Registered("gpt:gpt_tiny", GptOptions),
    "poisson-pinn": Registered("poisson:poisson_pinn", PoissonOptions),
}
"""All tasks by name."""


def kind_of(name: str) -> type[TaskOptions]:
    """The class of the options of the task of that name; of one that is not in the table, that without any."""
    return TASKS[name].options if name in TASKS else TaskOptions


def options_of(name: str, options: TaskOptions) -> TaskOptions:
    """Return the options of the task of that name: as given, or its defaults if they belong to no task.

    Raises:
        ValueError: for the options of another task.
    """
    kind = kind_of(name)
    if type(options) is kind:
        return options
    if type(options) is TaskOptions:
        return kind()
    raise ValueError(f"the task {name} takes {kind.__name__}, and {type(options).__name__} was given")
