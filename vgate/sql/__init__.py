"""SQL text: the exact lexer, shapes and literals, vgate's own statements, and the way to sqlglot's tree."""
