"""The smallest options of every task that needs no data."""

from qnewton.experiments.options import TaskOptions
from qnewton.experiments.task_options import (
    AutoencoderOptions,
    BertOptions,
    Digits28Options,
    GptOptions,
    PerceptronOptions,
    PoissonOptions,
    ResNetOptions,
    TextOptions,
)
TEXT = TextOptions(vocabulary=160, length=8, sequences=24)
SMALL: dict[str, TaskOptions] = {
    "digits-mlp": PerceptronOptions(width=4, depth=1),
    "digits28": Digits28Options(width=2, depth=1),
    "autoencoder": AutoencoderOptions(hidden=(3,), code=2),
    "cnn": ResNetOptions(channels=2, stages=2),
    "bert-tiny": BertOptions(layers=1, hidden=8, heads=2, intermediate=8, embeddings="frozen", text=TEXT),
    "gpt-tiny": GptOptions(layers=1, hidden=8, heads=2, key_value_heads=1, intermediate=8, window=3, text=TEXT),
    "poisson-pinn": PoissonOptions(width=4, depth=1, interior=12, boundary=4),
}
