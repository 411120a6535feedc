"""The LLMs to learn from, behind one method."""

from pgkd.teacher.anthropic import AnthropicTeacher
from pgkd.teacher.base import Message, Reply, Request, Sampling, Teacher
from pgkd.teacher.bedrock import BedrockTeacher
from pgkd.teacher.fake import FakeTeacher
from pgkd.teacher.labelling import Labelled, label_texts
from pgkd.teacher.local import LocalTeacher
from pgkd.teacher.openai import OpenAITeacher
from pgkd.teacher.patient import PatientTeacher
from pgkd.teacher.recorded import RecordedTeacher
from pgkd.teacher.registry import make_teacher, providers, teacher_maker

__all__ = [
    "AnthropicTeacher",
    "BedrockTeacher",
    "FakeTeacher",
    "Labelled",
    "LocalTeacher",
    "Message",
    "OpenAITeacher",
    "PatientTeacher",
    "RecordedTeacher",
    "Reply",
    "Request",
    "Sampling",
    "Teacher",
    "label_texts",
    "make_teacher",
    "providers",
    "teacher_maker",
]
