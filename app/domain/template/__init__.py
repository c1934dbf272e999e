"""Core templates: one content, written once, rendered to every channel.

`compile_template` checks and parses a core schema once; `CompiledTemplate.render` is cheap and runs per contact.
"""

from app.domain.template.compiled import CompiledTemplate, Rendered, compile_stored, compile_template
from app.domain.template.variables import MissingVariable, Variable

__all__ = ["CompiledTemplate", "MissingVariable", "Rendered", "Variable", "compile_stored", "compile_template"]
