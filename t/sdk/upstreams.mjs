// The formats that providers speak, for tests of translated calls. One row is one
// format: how the mock tells a story (stories.mjs) in it, and how a request in it
// is read. A further format is a row of `upstreams`.
//
//     format, dialect  as in configuration; whose keys and errors it has
//     host             in the configuration of stack.mjs
//     named            in the names of models, instead of the format
//     path({model, stream})  of the request that arrives
//     streams(request) whether a stream is asked for
//     tells            what its answers can say: which stop sequence matched, tokens written to
//                      a cache, those of reasoning; refusal: 'part' of the answer, or 'apart' from
//                      it; whose signatures it has, or 'calls' if they are on these
//     takes            what its requests can say: stop sequences, images by URL, one call at a
//                      time, marks for a cache
//     own_delay        when to come again is in the body of an error
//     variant          of a format: only some callers are tried with it
//     read(body)       the request, in the words below
//     whole(turn, model), events(turn, request): values, each with the name of its event;
//     frame(value, name), type: how they are framed, if not as server-sent events
//     fault(name)      status, body, headers
//
// A request that was read, without what it does not say:
//
//     {system, messages: [{role, text, images, calls, results}], tools, choice, serial,
//      max_tokens, stop, schema, stream}
//
// Documents are among the images; thinking of an assistant is [text, signature].

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { converse, eventFrame } from './upstream_converse.mjs';
import { gemini } from './upstream_gemini.mjs';
import { responses } from './upstream_responses.mjs';
import { UPSTREAM_PREFIX } from './mock.mjs';
import { Conversation, CREATED_S, dataUrl, joined, present } from './reading.mjs';
import { FAULT_TEXT, RETRY_AFTER_S, stories, USAGE } from './stories.mjs';

// ---- OpenAI Chat Completions --------------------------------------------------

const chatFinish = { end: 'stop', length: 'length', tools: 'tool_calls', sequence: 'stop', refusal: 'stop' };

const chatUsage = {
  prompt_tokens: USAGE.input,
  completion_tokens: USAGE.output,
  total_tokens: USAGE.input + USAGE.output,
  prompt_tokens_details: { cached_tokens: USAGE.cached, cache_write_tokens: USAGE.written, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: USAGE.reasoning, audio_tokens: 0 },
};

function readChatMessage(conversation, message) {
  const turn = conversation.turn(message.role === 'assistant' ? 'assistant' : 'user');
  if (message.role === 'tool') {
    turn.results.push({ id: message.tool_call_id, text: joined(message.content) });
    return;
  }
  const parts =
    typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : (message.content ?? []);
  for (const part of parts) {
    if (part.type === 'image_url') turn.images.push(dataUrl(part.image_url.url));
    else if (part.type === 'file') turn.images.push(dataUrl(part.file.file_data));
    else turn.texts.push(part.text);
  }
  for (const {
    id,
    function: { name, arguments: input },
  } of message.tool_calls ?? []) {
    turn.calls.push({ id, name, input: JSON.parse(input) });
  }
}

// What OpenAI refuses: the results of a message's calls stand right behind it.
function checkResults(messages) {
  messages.forEach(({ tool_calls = [] }, i) => {
    const behind = messages.slice(i + 1, i + 1 + tool_calls.length).map(({ tool_call_id }) => tool_call_id);
    assert.deepEqual(behind.sort(), tool_calls.map(({ id }) => id).sort(), 'calls are followed by their results');
  });
}

function readChat(body) {
  checkResults(body.messages);
  const conversation = new Conversation();
  const leads = (message) => message.role === 'system' || message.role === 'developer';
  for (const message of body.messages.filter((one) => !leads(one))) readChatMessage(conversation, message);
  return present({
    system: body.messages
      .filter(leads)
      .map((message) => joined(message.content))
      .join('\n'),
    messages: conversation.read(),
    tools: body.tools?.map(({ function: { name, description, parameters: schema } }) =>
      present({ name, description, schema }),
    ),
    choice: body.tool_choice?.function?.name ?? body.tool_choice,
    serial: body.parallel_tool_calls === false ? true : undefined,
    max_tokens: body.max_completion_tokens ?? body.max_tokens,
    stop: typeof body.stop === 'string' ? [body.stop] : body.stop,
    schema: body.response_format?.json_schema?.schema,
    stream: body.stream,
  });
}

function wholeChat(turn, model) {
  const content = turn.pieces ? [...turn.pieces].join('') : null;
  const calls = turn.calls?.map(({ id, name, input }) => ({
    id,
    type: 'function',
    function: { name, arguments: JSON.stringify(input) },
  }));
  return {
    id: 'chatcmpl-story',
    object: 'chat.completion',
    created: CREATED_S,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content,
          refusal: turn.refusal ?? null,
          annotations: [],
          ...(turn.thinking ? { reasoning_content: turn.thinking } : {}),
          ...(calls ? { tool_calls: calls } : {}),
        },
        logprobs: null,
        finish_reason: chatFinish[turn.stop],
      },
    ],
    usage: chatUsage,
    service_tier: 'default',
    system_fingerprint: 'fp_story',
  };
}

function* chatDeltas(turn) {
  yield { role: 'assistant', content: turn.pieces ? '' : null, refusal: null };
  if (turn.thinking) yield* turn.thinking.match(/.{1,9}/gsu).map((reasoning_content) => ({ reasoning_content }));
  for (const content of turn.pieces ?? []) yield { content };
  if (turn.refusal) yield* turn.refusal.match(/.{1,9}/gsu).map((refusal) => ({ refusal }));
  for (const [index, { id, name, input }] of (turn.calls ?? []).entries()) {
    yield { tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] };
    for (const piece of JSON.stringify(input).match(/.{1,6}/gsu)) {
      yield { tool_calls: [{ index, function: { arguments: piece } }] };
    }
  }
}

function* chatEvents(turn, { body }) {
  const head = { id: 'chatcmpl-story', object: 'chat.completion.chunk', created: CREATED_S, model: body.model };
  const chunk = (delta, finish_reason = null) => [
    { ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason }], usage: null },
  ];
  for (const delta of chatDeltas(turn)) yield chunk(delta);
  if (turn.then === 'error')
    yield [{ error: { message: FAULT_TEXT.failed, type: 'server_error', param: null, code: null } }];
  if (turn.then) return;
  yield chunk({}, chatFinish[turn.stop]);
  if (body.stream_options?.include_usage) yield [{ ...head, choices: [], usage: chatUsage }];
  yield ['[DONE]'];
}

const chatFaults = {
  invalid: [400, 'invalid_request_error', 'unsupported_value'],
  missing: [404, 'invalid_request_error', 'model_not_found'],
  limited: [429, 'requests', 'rate_limit_exceeded'],
  failed: [500, 'server_error', null],
  overloaded: [503, 'service_unavailable_error', 'server_is_overloaded'],
  key: [401, 'invalid_request_error', 'invalid_api_key'],
};

const chat = {
  format: 'openai-chat',
  dialect: 'openai',
  host: 'openai',
  path: () => '/v1/chat/completions',
  streams: ({ body }) => body.stream,
  tells: { sequence: false, signed: false, refusal: 'part', written: true, reasoning: true },
  takes: { stop: true, url: true, serial: true, cache: false },
  headers: { 'x-request-id': 'req_story', 'openai-processing-ms': '12', 'x-other': 'kept' },
  private_header: 'openai-processing-ms',
  read: readChat,
  whole: wholeChat,
  events: chatEvents,
  status: (name) => chatFaults[name][0],
  fault(name) {
    const [status, type, code] = chatFaults[name];
    return [status, { error: { message: FAULT_TEXT[name], type, param: null, code } }];
  },
};

// ---- Anthropic Messages ---------------------------------------------------------

const messagesStop = {
  end: 'end_turn',
  length: 'max_tokens',
  tools: 'tool_use',
  sequence: 'stop_sequence',
  refusal: 'refusal',
};

const messagesUsage = {
  input_tokens: USAGE.input - USAGE.cached - USAGE.written,
  cache_creation_input_tokens: USAGE.written,
  cache_read_input_tokens: USAGE.cached,
  output_tokens: USAGE.output,
  output_tokens_details: { thinking_tokens: USAGE.reasoning },
  service_tier: 'standard',
};

const messagesChoice = ({ type, name }) => name ?? { any: 'required' }[type] ?? type;

function readMessagesBlock(turn, block) {
  if (block.type === 'text') turn.texts.push(block.text);
  if (block.type === 'tool_use') turn.calls.push({ id: block.id, name: block.name, input: block.input });
  if (block.type === 'tool_result') turn.results.push({ id: block.tool_use_id, text: joined(block.content) });
  if (block.type === 'document') turn.images.push({ media_type: block.source.media_type, data: block.source.data });
  if (block.type === 'thinking') turn.thinking = [block.thinking, block.signature];
  if (block.type === 'image') {
    const { media_type, data, url } = block.source;
    turn.images.push(present({ media_type, data, url }));
  }
}

function readMessages(body) {
  const conversation = new Conversation();
  for (const { role, content } of body.messages) {
    const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
    for (const block of blocks) readMessagesBlock(conversation.turn(role), block);
  }
  return present({
    system: joined(body.system),
    messages: conversation.read(),
    tools: body.tools?.map(({ name, description, input_schema: schema }) => present({ name, description, schema })),
    choice: body.tool_choice && messagesChoice(body.tool_choice),
    serial: body.tool_choice?.disable_parallel_tool_use === true ? true : undefined,
    max_tokens: body.max_tokens,
    stop: body.stop_sequences,
    schema: body.output_config?.format?.schema,
    stream: body.stream,
  });
}

function messagesContent(turn) {
  const content = [];
  if (turn.thinking) content.push({ type: 'thinking', thinking: turn.thinking, signature: turn.signature });
  if (turn.pieces) content.push({ type: 'text', text: [...turn.pieces].join('') });
  for (const call of turn.calls ?? []) content.push({ type: 'tool_use', ...call });
  return content;
}

function messagesEnding(turn) {
  return {
    stop_reason: messagesStop[turn.stop],
    stop_sequence: turn.sequence ?? null,
    ...(turn.refusal ? { stop_details: { type: 'refusal', category: null, explanation: turn.refusal } } : {}),
  };
}

function wholeMessage(turn, model) {
  return {
    id: 'msg_story',
    type: 'message',
    role: 'assistant',
    model,
    content: messagesContent(turn),
    ...messagesEnding(turn),
    usage: messagesUsage,
  };
}

// What a block begins as, and its deltas.
function* messagesBlocks(turn) {
  if (turn.thinking) {
    yield [
      { type: 'thinking', thinking: '', signature: '' },
      [
        ...turn.thinking.match(/.{1,9}/gsu).map((thinking) => ({ type: 'thinking_delta', thinking })),
        { type: 'signature_delta', signature: turn.signature },
      ],
    ];
  }
  if (turn.pieces) {
    const deltas = function* () {
      for (const text of turn.pieces) yield { type: 'text_delta', text };
    };
    yield [{ type: 'text', text: '' }, deltas()];
  }
  for (const { input, ...call } of turn.calls ?? []) {
    const pieces = ['', ...(Object.keys(input).length ? JSON.stringify(input).match(/.{1,7}/gsu) : [])];
    yield [
      { type: 'tool_use', ...call, input: {} },
      pieces.map((partial_json) => ({ type: 'input_json_delta', partial_json })),
    ];
  }
}

function* messagesEvents(turn, { body }) {
  const event = (type, more) => [{ type, ...more }, type];
  const message = { ...wholeMessage({ stop: undefined }, body.model), stop_reason: null };
  let index = 0;
  yield event('message_start', { message: { ...message, usage: { ...messagesUsage, output_tokens: 1 } } });
  yield event('ping');
  for (const [content_block, deltas] of messagesBlocks(turn)) {
    yield event('content_block_start', { index, content_block });
    for (const delta of deltas) yield event('content_block_delta', { index, delta });
    if (turn.then) break;
    yield event('content_block_stop', { index });
    index += 1;
  }
  if (turn.then === 'error') yield event('error', { error: { type: 'overloaded_error', message: FAULT_TEXT.failed } });
  if (turn.then) return;
  const usage = { output_tokens: USAGE.output, output_tokens_details: messagesUsage.output_tokens_details };
  yield event('message_delta', { delta: messagesEnding(turn), usage });
  yield event('message_stop');
}

const messagesFaults = {
  invalid: [400, 'invalid_request_error'],
  missing: [404, 'not_found_error'],
  limited: [429, 'rate_limit_error'],
  failed: [500, 'api_error'],
  overloaded: [529, 'overloaded_error'],
  key: [401, 'authentication_error'],
};

const messages = {
  format: 'anthropic-messages',
  dialect: 'anthropic',
  host: 'anthropic',
  path: () => '/v1/messages',
  streams: ({ body }) => body.stream,
  tells: { sequence: true, signed: 'anthropic', refusal: 'apart', written: true, reasoning: true },
  takes: { stop: true, url: true, serial: true, cache: true },
  headers: { 'request-id': 'req_story', 'anthropic-organization-id': 'org-story', 'x-other': 'kept' },
  private_header: 'anthropic-organization-id',
  read: readMessages,
  whole: wholeMessage,
  events: messagesEvents,
  status: (name) => messagesFaults[name][0],
  fault(name) {
    const [status, type] = messagesFaults[name];
    return [status, { type: 'error', error: { type, message: FAULT_TEXT[name] }, request_id: 'req_story' }];
  },
};

// ---- Messages behind other paths ------------------------------------------------

const invoke = {
  ...messages,
  format: 'bedrock-invoke',
  dialect: 'bedrock',
  host: 'bedrock',
  variant: messages.format,
  path: ({ model, stream }) =>
    `/model/${UPSTREAM_PREFIX}${model}/${stream ? 'invoke-with-response-stream' : 'invoke'}`,
  streams: ({ path }) => /-stream$/.test(path),
  status: converse.status,
  fault: converse.fault,
  headers: converse.headers,
  private_header: converse.private_header,
  type: converse.type,
  events: function* (turn, request) {
    for (const [value, name] of messagesEvents(turn, { body: { model: request.model } })) {
      if (name === 'error') yield [{ message: FAULT_TEXT.failed }, 'modelStreamErrorException'];
      else yield [value, name];
    }
  },
  frame(value, name) {
    if (name.endsWith('Exception')) return converse.frame(value, name);
    return eventFrame({ bytes: Buffer.from(JSON.stringify(value)).toString('base64'), p: 'abcdef' }, 'chunk');
  },
};

const vertex = {
  ...messages,
  own_delay: true,
  format: 'vertex-anthropic',
  dialect: 'vertex',
  host: 'vertex',
  variant: messages.format,
  path: ({ model, stream }) =>
    `/v1/projects/p/locations/l/publishers/anthropic/models/${UPSTREAM_PREFIX}${model}:` +
    (stream ? 'streamRawPredict' : 'rawPredict'),
  streams: ({ path }) => /:stream/.test(path),
  events: (turn, { model }) => messagesEvents(turn, { body: { model } }),
  // The platform has words of its own.
  fault: (name) => (name === 'limited' || name === 'overloaded' ? gemini.fault(name) : messages.fault(name)),
  status: (name) => vertex.fault(name)[0],
};

// ---- the mock -------------------------------------------------------------------

export const upstreams = [chat, responses, messages, gemini, converse, invoke, vertex];

// The model that tells this story in this format.
export function modelOf(upstream, story) {
  return `${upstream.named ?? upstream.format}.${story}`;
}

async function stream(upstream, turn, request, reply) {
  reply.beginEvents(upstream.headers, upstream.type);
  for (const [value, name] of upstream.events(turn, request)) {
    if (!(await (upstream.frame ? reply.write(upstream.frame(value, name)) : reply.event(value, name)))) return;
    await sleep(turn.pause_ms ?? 0);
  }
  if (turn.then === 'cut') {
    await sleep(30);
    reply.cut();
  } else if (turn.then !== 'stall') {
    reply.end();
  }
}

function script(upstream, story) {
  return async (request, reply) => {
    if (request.path.endsWith(':countTokens')) return reply.json(200, { totalTokens: USAGE.input });
    const asked = upstream.read(request.body);
    const turn = stories[story](asked);
    if (turn.silent) return;
    if (turn.fault) {
      const [status, body, headers] = upstream.fault(turn.fault);
      const retry = turn.fault === 'limited' && !upstream.own_delay ? { 'retry-after': String(RETRY_AFTER_S) } : {};
      reply.json(status, body, { ...upstream.headers, ...headers, ...retry });
    } else if (upstream.streams(request)) {
      await stream(upstream, turn, request, reply);
    } else {
      reply.json(200, upstream.whole(turn, request.model), upstream.headers);
    }
  };
}

const cells = upstreams.flatMap((upstream) => Object.keys(stories).map((story) => [upstream, story]));

// For startStack: each model is offered by the host of its format alone.
export const storyScripts = Object.fromEntries(
  cells.map(([upstream, story]) => [modelOf(upstream, story), script(upstream, story)]),
);
export const storyModels = Object.fromEntries(
  cells.map(([upstream, story]) => {
    const name = modelOf(upstream, story);
    return [name, { offers: [{ host: upstream.host, id: UPSTREAM_PREFIX + name, formats: [upstream.format] }] }];
  }),
);
