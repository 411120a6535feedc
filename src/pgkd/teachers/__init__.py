"""The LLMs to learn from, behind one method."""

from pgkd.teachers.anthropic import AnthropicTeacher
from pgkd.teachers.base import Message, Reply, Request, Sampling, Teacher
from pgkd.teachers.bedrock import BedrockTeacher
from pgkd.teachers.fake import FakeTeacher
from pgkd.teachers.local import LocalTeacher
from pgkd.teachers.openai import OpenAITeacher
from pgkd.teachers.recorded import RecordedTeacher
from pgkd.teachers.registry import make_teacher, providers, teacher_maker

__all__ = [
    "AnthropicTeacher",
    "BedrockTeacher",
    "FakeTeacher",
    "LocalTeacher",
    "Message",
    "OpenAITeacher",
    "RecordedTeacher",
    "Reply",
    "Request",
    "Sampling",
    "Teacher",
    "make_teacher",
    "providers",
    "teacher_maker",
]
