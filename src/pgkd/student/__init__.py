"""The classifiers that a user owns in the end."""

from pgkd.student.base import Student
from pgkd.student.registry import load_student, make_student, student_class

__all__ = ["Student", "load_student", "make_student", "student_class"]
