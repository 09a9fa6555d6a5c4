# The files of core/, in one place for every build that links them.
RELAY_CORE_SOURCES = \
	buf.c \
	arena.c \
	address.c \
	error.c \
	utf8.c \
	json_lex.c \
	json_value.c \
	json_scan.c \
	json_tape.c \
	sse.c \
	chunked.c \
	sort.c \
	glob.c \
	url.c \
	relay_key.c \
	config_text.c \
	config_fault.c \
	config_read.c \
	config_host.c \
	config_access.c \
	config_doc.c \
	route.c \
	envelope.c \
	wire_registry.c \
	wire_support.c \
	wire_paging.c \
	wire_echo.c \
	wire_openai.c \
	wire_openai_chat.c \
	wire_openai_responses.c \
	wire_openai_embeddings.c \
	wire_anthropic.c \
	wire_anthropic_messages.c
