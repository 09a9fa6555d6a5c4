// A row of upstreams.mjs: OpenAI Responses.

import { Conversation, CREATED_S, dataUrl, joined, pieces, present } from './reading.mjs';
import { FAULT_TEXT, USAGE } from './stories.mjs';

const usage = {
  input_tokens: USAGE.input,
  input_tokens_details: { cached_tokens: USAGE.cached, cache_write_tokens: USAGE.written },
  output_tokens: USAGE.output,
  output_tokens_details: { reasoning_tokens: USAGE.reasoning },
  total_tokens: USAGE.input + USAGE.output,
};

// ---- reading ------------------------------------------------------------------

function readPart(turn, part) {
  if (part.type === 'input_image') turn.images.push(dataUrl(part.image_url));
  else if (part.type === 'input_file') turn.images.push(dataUrl(part.file_data));
  else turn.texts.push(part.text);
}

const readers = {
  message(conversation, { role, content }) {
    const turn = conversation.turn(role);
    const parts = typeof content === 'string' ? [{ type: 'input_text', text: content }] : content;
    for (const part of parts) readPart(turn, part);
  },
  function_call(conversation, { call_id: id, name, arguments: input }) {
    conversation.turn('assistant').calls.push({ id, name, input: JSON.parse(input) });
  },
  function_call_output(conversation, { call_id: id, output }) {
    conversation.turn('user').results.push({ id, text: joined(output) });
  },
  reasoning(conversation, { summary, encrypted_content }) {
    conversation.turn('assistant').thinking = [joined(summary), encrypted_content];
  },
};

function read(body) {
  const conversation = new Conversation();
  const input = typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : body.input;
  const leads = ({ role }) => role === 'system' || role === 'developer';
  for (const item of input.filter((one) => !leads(one))) readers[item.type ?? 'message'](conversation, item);
  return present({
    system: [body.instructions, ...input.filter(leads).map(({ content }) => joined(content))].filter(Boolean).join('\n'),
    messages: conversation.read(),
    tools: body.tools?.map(({ name, description, parameters: schema }) => present({ name, description, schema })),
    choice: body.tool_choice?.name ?? body.tool_choice,
    serial: body.parallel_tool_calls === false ? true : undefined,
    max_tokens: body.max_output_tokens,
    schema: body.text?.format?.schema,
    stream: body.stream,
  });
}

// ---- answers ------------------------------------------------------------------

// What an item begins as, the events inside, what it ends as; the text adds up meanwhile.
function* reasoningItem(turn, at) {
  const part = { type: 'summary_text', text: turn.thinking };
  const where = { ...at, summary_index: 0 };
  const item = { id: at.item_id, type: 'reasoning', summary: [] };
  yield ['response.output_item.added', { item }];
  yield ['response.reasoning_summary_part.added', { ...where, part: { ...part, text: '' } }];
  for (const delta of pieces(turn.thinking, 9)) yield ['response.reasoning_summary_text.delta', { ...where, delta }];
  yield ['response.reasoning_summary_text.done', { ...where, text: turn.thinking }];
  yield ['response.reasoning_summary_part.done', { ...where, part }];
  return { ...item, summary: [part], encrypted_content: turn.signature };
}

function* messageItem(turn, at) {
  const where = { ...at, content_index: 0 };
  const item = { id: at.item_id, type: 'message', status: 'in_progress', role: 'assistant', content: [] };
  const kind = turn.refusal ? 'refusal' : 'output_text';
  const part = (text) =>
    turn.refusal ? { type: kind, refusal: text } : { type: kind, annotations: [], logprobs: [], text };
  const more = turn.refusal ? {} : { logprobs: [] };
  let text = '';
  yield ['response.output_item.added', { item }];
  yield ['response.content_part.added', { ...where, part: part('') }];
  for (const delta of turn.refusal ? pieces(turn.refusal, 9) : turn.pieces) {
    text += delta;
    yield [`response.${kind}.delta`, { ...where, delta, ...more }];
  }
  if (turn.then) return undefined;
  yield [`response.${kind}.done`, { ...where, [turn.refusal ? 'refusal' : 'text']: text, ...more }];
  yield ['response.content_part.done', { ...where, part: part(text) }];
  return { ...item, status: turn.stop === 'length' ? 'incomplete' : 'completed', content: [part(text)] };
}

function* callItem({ id: call_id, name, input }, at) {
  const text = JSON.stringify(input);
  const item = { id: at.item_id, type: 'function_call', status: 'in_progress', call_id, name, arguments: '' };
  yield ['response.output_item.added', { item }];
  for (const delta of pieces(text, 6)) yield ['response.function_call_arguments.delta', { ...at, delta }];
  yield ['response.function_call_arguments.done', { ...at, name, arguments: text }];
  return { ...item, status: 'completed', arguments: text };
}

// Each a generator of its events that returns the item; undefined where it breaks off.
function* items(turn) {
  if (turn.thinking) yield (at) => reasoningItem(turn, { ...at, item_id: 'rs_story' });
  if (turn.pieces || turn.refusal) yield (at) => messageItem(turn, { ...at, item_id: 'msg_story' });
  for (const [i, call] of (turn.calls ?? []).entries()) yield (at) => callItem(call, { ...at, item_id: `fc_${i}` });
}

function response(model, status, more) {
  return {
    id: 'resp_story',
    object: 'response',
    created_at: CREATED_S,
    status,
    background: false,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    metadata: {},
    model,
    output: [],
    parallel_tool_calls: true,
    service_tier: 'default',
    temperature: 1,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
    usage: null,
    ...more,
  };
}

function ended(turn, model, output) {
  if (turn.stop !== 'length') return response(model, 'completed', { output, usage });
  return response(model, 'incomplete', { output, usage, incomplete_details: { reason: 'max_output_tokens' } });
}

function* told(turn, { body: { model } }) {
  const output = [];
  yield ['response.created', { response: response(model, 'in_progress') }];
  yield ['response.in_progress', { response: response(model, 'in_progress') }];
  for (const item of items(turn)) {
    const at = { output_index: output.length };
    const events = item(at);
    let next = events.next();
    for (; !next.done; next = events.next()) yield [next.value[0], { ...at, ...next.value[1] }];
    if (!next.value) break;
    yield ['response.output_item.done', { ...at, item: next.value }];
    output.push(next.value);
  }
  const error = { code: 'server_error', message: FAULT_TEXT.failed };
  if (turn.then === 'error') yield ['response.failed', { response: response(model, 'failed', { output, error }) }];
  if (turn.then) return;
  const response_ = ended(turn, model, output);
  yield [`response.${response_.status}`, { response: response_ }];
}

function* events(turn, request) {
  let sequence_number = 0;
  for (const [type, more] of told(turn, request)) {
    yield [{ type, sequence_number, ...more }, type];
    sequence_number += 1;
  }
}

function whole(turn, model) {
  return [...told(turn, { body: { model } })].at(-1)[1].response;
}

const faults = {
  invalid: [400, 'invalid_request_error', 'unsupported_value'],
  missing: [404, 'invalid_request_error', 'model_not_found'],
  limited: [429, 'requests', 'rate_limit_exceeded'],
  failed: [500, 'server_error', null],
  overloaded: [503, 'service_unavailable_error', 'server_is_overloaded'],
  key: [401, 'invalid_request_error', 'invalid_api_key'],
};

export const responses = {
  format: 'openai-responses',
  dialect: 'openai',
  host: 'openai',
  path: () => '/v1/responses',
  streams: ({ body }) => body.stream,
  tells: { sequence: false, signed: 'openai', refusal: 'part', written: true, reasoning: true },
  takes: { stop: false, url: true, serial: true, cache: false },
  headers: { 'x-request-id': 'req_story', 'openai-processing-ms': '12', 'x-other': 'kept' },
  private_header: 'openai-processing-ms',
  read,
  whole,
  events,
  status: (name) => faults[name][0],
  fault(name) {
    const [status, type, code] = faults[name];
    return [status, { error: { message: FAULT_TEXT[name], type, param: null, code } }];
  },
};
