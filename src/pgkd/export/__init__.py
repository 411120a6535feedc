"""Students without what trained them: exported, checked, and served without torch.

To predict, an export needs numpy and, where it holds an encoder, onnxruntime and tokenizers. What
makes exports is imported by `pgkd.export.export` alone.
"""

from pgkd.export.predictor import load

__all__ = ["load"]
