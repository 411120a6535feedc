"""A causal language model, fine-tuned on inputs and outputs. Imports torch.

A row is the tokens of the input, a line break, those of the output and the end; the loss is of the
output and the end alone. Outputs are decoded greedily. As in `pgkd.encoders.transformer`, batches
have one shape for each length, so no answer depends on the inputs beside it.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from pgkd.data.cells import one_column
from pgkd.encoders.devices import CPU, Device, accelerator_on
from pgkd.encoders.origin import WeightsOrigin
from pgkd.encoders.training import FineTuning, batches, make_optimiser, reproducible
from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.files import write_anew, write_whole
from pgkd.weights.fetch import models_folder

_BATCH = 16  # rows of every batch; the last one of a length is filled up
_STEP = 8  # token lengths are rounded up to a multiple of this
_LONGEST = 1024  # tokens of an output at most, where rows say how long they are
_SETTINGS = "language_model.json"
_IGNORED = -100  # a target without a loss


class Decoded(NamedTuple):
    """A decoded output, and the sum of the log-probabilities of its tokens in nats."""

    output: str
    log_probability: float


class LanguageModel:
    """A causal language model and its tokenizer.

    Args:
        model: a `transformers` causal language model, on its device.
        tokenizer: its tokenizer.
        max_input: tokens of an input that are read.
        max_output: tokens of an output that are written.
        device: where the model is.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, max_input: int, max_output: int, device: Device = CPU
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = device
        self._end = int(tokenizer.eos_token_id)
        self._break = tokenizer.encode("\n", add_special_tokens=False) or [self._end]
        room = getattr(model.config, "max_position_embeddings", None) or 1 << 20
        room -= len(self._break) + _STEP  # lengths are rounded up
        self.max_output = min(max_output, room // 2)
        self.max_input = min(max_input, room - self.max_output)

    def answers(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """An ``output`` and its ``probability`` for each of n texts; see `Answering.answers`."""
        texts = one_column(inputs, "texts", error=StudentError)
        if not all(isinstance(text, str) for text in texts):
            raise StudentError("The inputs have to be texts.")
        return [
            {"output": w.output, "probability": float(np.exp(min(0.0, w.log_probability)))}
            for w in self.generate(texts)
        ]

    def generate(self, texts: Sequence[str]) -> list[Decoded]:
        """Decode an output for each text, greedily; each text once."""
        known: dict[str, Decoded] = {}
        fresh = list(dict.fromkeys(texts))
        prompts = [self._prompt(text) for text in fresh]
        for indices, length in _grouped([len(ids) for ids in prompts]):
            found = self._decode([prompts[i] for i in indices], length)
            known.update(zip((fresh[i] for i in indices), found, strict=True))
        return [known[text] for text in texts]

    def losses(self, texts: Sequence[str], outputs: Sequence[str]) -> NDArray[np.float64]:
        """Mean negative log-probability of each output's tokens, in nats, shape (n,)."""
        rows = self.tokens(texts, outputs)
        losses = np.empty(len(rows))
        for indices, length in _grouped([len(ids) for ids, _ in rows]):
            batch = [rows[i] for i in indices]
            with torch.inference_mode():
                each, targets = self.token_losses(self.model, batch, rows=_BATCH, length=length)
            counts = (targets != _IGNORED).sum(1)
            losses[indices] = (each.sum(1) / counts)[: len(indices)].cpu().double().numpy()
        return losses

    def tokens(
        self, texts: Sequence[str], outputs: Sequence[str]
    ) -> list[tuple[list[int], list[int]]]:
        """Token ids of every row, and the same with -100 where there is no loss."""
        rows = []
        for text, output in zip(texts, outputs, strict=True):
            prompt = self._prompt(text)
            written = [*self._encode(output)[: self.max_output - 1], self._end]
            rows.append(([*prompt, *written], [*(_IGNORED for _ in prompt), *written]))
        return rows

    def token_losses(
        self, model: Any, batch: Sequence[tuple[list[int], list[int]]], *, rows: int, length: int
    ) -> tuple[Any, Any]:
        """Losses and targets of the tokens of a batch, each of the shape (rows, length - 1)."""
        ids = torch.full((rows, length), self._end)
        targets = torch.full((rows, length), _IGNORED)
        targets[len(batch) :, -1] = self._end  # rows that fill up the batch
        for i, (row, target) in enumerate(batch):
            ids[i, : len(row)], targets[i, : len(row)] = torch.tensor(row), torch.tensor(target)
        ids, targets = ids.to(self.device.name), targets[:, 1:].to(self.device.name)
        # Padding stands behind the tokens, where a causal model does not look.
        logits = model(input_ids=ids).logits[:, :-1].float().flatten(0, 1)
        each = cross_entropy(logits, targets.flatten(), reduction="none")
        return each.view(targets.shape), targets

    def save(self, folder: Path) -> None:
        """Write a folder that transformers loads, and `load_language_model`."""

        def write(new: Path) -> None:
            self.model.save_pretrained(new)
            self.tokenizer.save_pretrained(new)
            settings = {"max_input": self.max_input, "max_output": self.max_output}
            write_whole(new / _SETTINGS, json.dumps(settings, indent=2) + "\n")

        write_anew(folder, write)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _prompt(self, text: str) -> list[int]:
        return [*self._encode(text)[: self.max_input], *self._break]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _decode(self, prompts: Sequence[list[int]], length: int) -> list[Decoded]:
        """Outputs of up to a batch of prompts. They are padded to the left, up to `length`."""
        ids = torch.full((_BATCH, length), self._end)
        mask = torch.zeros((_BATCH, length + self.max_output), dtype=torch.long)
        mask[:, length - 1 :] = 1
        for i, prompt in enumerate(prompts):
            ids[i, length - len(prompt) :] = torch.tensor(prompt)
            mask[i, length - len(prompt) :] = 1
        ids, mask = ids.to(self.device.name), mask.to(self.device.name)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        cache, totals = None, torch.zeros(_BATCH, dtype=torch.float64)
        ended = torch.arange(_BATCH) >= len(prompts)
        tokens: list[list[int]] = [[] for _ in prompts]
        for i in range(self.max_output):
            width = length + i
            out = self.model(
                input_ids=ids, attention_mask=mask[:, :width], past_key_values=cache,
                position_ids=places[:, width - ids.shape[1] : width], use_cache=True,
            )  # fmt: skip
            cache = out.past_key_values
            best = out.logits[:, -1].float().log_softmax(-1).max(-1)
            ids = best.indices.unsqueeze(1)
            chosen = best.indices.cpu()
            totals += torch.where(ended, 0.0, best.values.cpu().double())
            ended |= chosen == self._end
            for row, token, end in zip(tokens, chosen.tolist(), ended.tolist(), strict=False):
                if not end:
                    row.append(token)
            if bool(ended.all()):
                break
        decoded = [self.tokenizer.decode(row, skip_special_tokens=True).strip() for row in tokens]
        return [Decoded(*each) for each in zip(decoded, totals.tolist(), strict=False)]


def train_language_model(
    base: LanguageModel,
    texts: Sequence[str],
    outputs: Sequence[str],
    weights: NDArray[np.float64],
    *,
    recipe: FineTuning,
    max_output: int | None,
    seed: int,
) -> LanguageModel:
    """Fine-tune a copy of a language model on the outputs of rows.

    Args:
        base: where training starts; it is not changed.
        texts: n inputs.
        outputs: n outputs.
        weights: shape (n,), of the rows.
        recipe: how long and how fast.
        max_output: tokens of an output; None: a quarter more than the longest one has.
        seed: of the order of the rows.
    """
    if max_output is None:
        longest = max(len(base._encode(output)) for output in outputs)
        max_output = min(_LONGEST, longest + longest // 4 + 8)
    device = base.device
    with accelerator_on(device) as accelerator, reproducible(device, seed):
        model = copy.deepcopy(base.model)
        student = LanguageModel(
            model, base.tokenizer,
            max_input=base.max_input, max_output=max_output, device=device,
        )  # fmt: skip
        rows = student.tokens(texts, outputs)
        parameters = list(model.parameters())
        optimiser, schedule = make_optimiser(parameters, recipe, n_rows=len(rows))
        model.train()
        for batch in batches(np.array([len(ids) for ids, _ in rows]), recipe, seed):
            part = [rows[i] for i in batch]
            with accelerator.autocast():
                each, targets = student.token_losses(
                    model, part, rows=len(part), length=max(len(ids) for ids, _ in part)
                )
            weight = torch.tensor(weights[batch]).to(each).unsqueeze(1) * (targets != _IGNORED)
            optimiser.zero_grad()
            accelerator.backward((each * weight).sum() / weight.sum())
            accelerator.clip_grad_norm_(parameters, recipe.clip)
            optimiser.step()
            schedule.step()
        model.eval()
    return student


def load_base(source: str, max_input: int, device: Device = CPU) -> LanguageModel:
    """Load a language model to start from, once.

    Args:
        source: a name of `pgkd models list`, a folder, or a name on the Hugging Face hub.
        max_input: tokens of an input that are read.
        device: where to put it.

    Raises:
        StudentError: it cannot be loaded.
        WeightsError: known weights are not here and cannot be fetched.
        MissingExtraError: the extra ``train`` is not installed.
    """
    origin = WeightsOrigin.find(source) or WeightsOrigin(source, ((source,),))
    if found := sorted(Path(origin.source).glob("*.gguf")):
        origin = WeightsOrigin.from_folder(_converted(found[0]))
    return _load(origin, max_input, device)


@lru_cache(maxsize=1)
def _load(origin: WeightsOrigin, max_input: int, device: Device) -> LanguageModel:
    return _read(origin.source, max_input, _LONGEST, device)


def load_language_model(folder: Path, device: Device = CPU) -> LanguageModel:
    """Read what `LanguageModel.save` wrote.

    Raises:
        StudentError: the folder is damaged, or holds something else.
    """
    try:
        settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        bounds = (settings["max_input"], settings["max_output"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudentError(f"{folder} holds no student that writes texts: {error}.") from error
    if not all(type(bound) is int and 1 <= bound <= 8192 for bound in bounds):
        raise StudentError(f"{folder / _SETTINGS} is damaged: its bounds are {bounds}.")
    return _read(str(folder), *bounds, device)


def _read(source: str, max_input: int, max_output: int, device: Device) -> LanguageModel:
    transformers = _transformers()
    offline = Path(source).is_dir() or os.environ.get("PGKD_OFFLINE") == "1"
    safe = {"local_files_only": offline, "trust_remote_code": False}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, **safe
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **safe)
    except Exception as error:  # a damaged folder raises anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StudentError(
            f"The language model '{source}' cannot be loaded: {reason} "
            "Give a name of `pgkd models list`, a folder, or a hub name that can be reached."
        ) from error
    if tokenizer.eos_token_id is None:
        raise StudentError(f"The tokenizer of '{source}' has no token for the end of a text.")
    return LanguageModel(
        model.to(device.name), tokenizer,
        max_input=max_input, max_output=max_output, device=device,
    )  # fmt: skip


def _transformers() -> Any:
    """The package, without its progress bars and warnings."""
    found = require("transformers", extra="train", job="The language model")
    found.utils.logging.set_verbosity_error()
    found.utils.logging.disable_progress_bar()
    return found


def _converted(gguf: Path) -> Path:
    """The folder of safetensors made of a GGUF file, once; numbers of 4 bits become float32."""
    folder = models_folder() / f"{gguf.parent.name}-safetensors"
    if (folder / "config.json").exists():
        return folder
    transformers = _transformers()
    require("gguf", extra="gguf", job="A language model from a GGUF file")
    name = {"gguf_file": gguf.name, "local_files_only": True}
    auto = transformers.AutoModelForCausalLM
    read = auto.from_pretrained(gguf.parent, dtype=torch.float32, **name)
    settings = read.config.to_dict()
    settings.pop("quantization_config", None)  # with it, transformers refuses to save
    model = auto.from_config(type(read.config)(**settings))
    model.load_state_dict(read.state_dict())
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, **name)

    def write(new: Path) -> None:
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)

    write_anew(folder, write)
    return folder


def _grouped(lengths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Indices of up to a batch of rows, with the length that they are padded to."""
    groups: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        groups.setdefault(-(-length // _STEP) * _STEP, []).append(i)
    for length, group in sorted(groups.items()):
        for start in range(0, len(group), _BATCH):
            yield group[start : start + _BATCH], length
