// A row of upstreams.mjs: Bedrock Converse, whose streams are binary messages of
// AWS with checksums. The model is in the path.

import { UPSTREAM_PREFIX } from './mock.mjs';
import { Conversation, joined, pieces, present } from './reading.mjs';
import { FAULT_TEXT, USAGE } from './stories.mjs';

// ---- event streams --------------------------------------------------------------

const remainders = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

function withChecksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = remainders[(sum ^ byte) & 255] ^ (sum >>> 8);
  return Buffer.concat([bytes, number32(~sum >>> 0)]);
}

function number32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

// A header is a text: its name and value behind their lengths.
function header(name, value) {
  const length = Buffer.from([7, value.length >> 8, value.length & 255]);
  return Buffer.concat([Buffer.from([name.length]), Buffer.from(name), length, Buffer.from(value)]);
}

export function eventFrame(payload, name, kind = 'event') {
  const headers = Buffer.concat([
    header(`:${kind}-type`, name),
    header(':content-type', 'application/json'),
    header(':message-type', kind),
  ]);
  const body = Buffer.from(JSON.stringify(payload));
  const lengths = Buffer.concat([number32(16 + headers.length + body.length), number32(headers.length)]);
  return withChecksum(Buffer.concat([withChecksum(lengths), headers, body]));
}

// ---- reading ------------------------------------------------------------------

function readBlock(turn, block) {
  if (block.text !== undefined) turn.texts.push(block.text);
  if (block.image) turn.images.push({ media_type: `image/${block.image.format}`, data: block.image.source.bytes });
  if (block.document) {
    turn.images.push({ media_type: `application/${block.document.format}`, data: block.document.source.bytes });
  }
  if (block.toolUse) {
    const { toolUseId: id, name, input } = block.toolUse;
    turn.calls.push({ id, name, input });
  }
  if (block.toolResult) {
    turn.results.push({ id: block.toolResult.toolUseId, text: joined(block.toolResult.content) });
  }
  const thought = block.reasoningContent?.reasoningText;
  if (thought) turn.thinking = [thought.text, thought.signature];
}

function readChoice({ auto, any, tool }) {
  return tool?.name ?? (any && 'required') ?? (auto && 'auto');
}

function read(body) {
  const conversation = new Conversation();
  const { inferenceConfig: settings = {}, toolConfig } = body;
  for (const { role, content } of body.messages) {
    for (const block of content) readBlock(conversation.turn(role), block);
  }
  return present({
    system: joined(body.system),
    messages: conversation.read(),
    tools: toolConfig?.tools.map(({ toolSpec: { name, description, inputSchema } }) =>
      present({ name, description, schema: inputSchema.json }),
    ),
    choice: toolConfig?.toolChoice && readChoice(toolConfig.toolChoice),
    max_tokens: settings.maxTokens,
    stop: settings.stopSequences,
    schema: body.outputConfig && JSON.parse(body.outputConfig.textFormat.structure.jsonSchema.schema),
  });
}

// ---- answers ------------------------------------------------------------------

const reasons = {
  end: 'end_turn',
  length: 'max_tokens',
  tools: 'tool_use',
  sequence: 'stop_sequence',
  refusal: 'content_filtered',
};

const usage = {
  inputTokens: USAGE.input - USAGE.cached - USAGE.written,
  outputTokens: USAGE.output,
  totalTokens: USAGE.input + USAGE.output,
  cacheReadInputTokens: USAGE.cached,
  cacheWriteInputTokens: USAGE.written,
};
const metrics = { latencyMs: 12 };

function ending(turn) {
  const more = turn.sequence ? { additionalModelResponseFields: { stop_sequence: turn.sequence } } : {};
  return { stopReason: reasons[turn.stop], ...more };
}

function whole(turn) {
  const content = [];
  if (turn.thinking) {
    content.push({ reasoningContent: { reasoningText: { text: turn.thinking, signature: turn.signature } } });
  }
  const text = turn.refusal ?? (turn.pieces && [...turn.pieces].join(''));
  if (text) content.push({ text });
  for (const { id: toolUseId, name, input } of turn.calls ?? []) content.push({ toolUse: { toolUseId, name, input } });
  return { output: { message: { role: 'assistant', content } }, ...ending(turn), usage, metrics };
}

// What begins a block, if anything does, and its deltas.
function* blocks(turn) {
  if (turn.thinking) {
    const texts = pieces(turn.thinking, 9).map((text) => ({ reasoningContent: { text } }));
    yield [undefined, [...texts, { reasoningContent: { signature: turn.signature } }]];
  }
  const texts = turn.refusal ? pieces(turn.refusal, 9) : turn.pieces;
  const deltas = function* () {
    for (const text of texts) yield { text };
  };
  if (texts) yield [undefined, deltas()];
  for (const { id: toolUseId, name, input } of turn.calls ?? []) {
    const inputs = Object.keys(input).length ? pieces(JSON.stringify(input), 7) : [];
    yield [{ toolUse: { toolUseId, name } }, ['', ...inputs].map((one) => ({ toolUse: { input: one } }))];
  }
}

function* events(turn) {
  let contentBlockIndex = 0;
  yield [{ role: 'assistant', p: 'abc' }, 'messageStart'];
  for (const [start, deltas] of blocks(turn)) {
    if (start) yield [{ contentBlockIndex, start, p: 'abcdefgh' }, 'contentBlockStart'];
    for (const delta of deltas) yield [{ contentBlockIndex, delta, p: 'abcdefghijkl' }, 'contentBlockDelta'];
    if (turn.then) break;
    yield [{ contentBlockIndex, p: 'a' }, 'contentBlockStop'];
    contentBlockIndex += 1;
  }
  if (turn.then === 'error') yield [{ message: FAULT_TEXT.failed }, 'modelStreamErrorException'];
  if (turn.then) return;
  yield [{ ...ending(turn), p: 'ab' }, 'messageStop'];
  yield [{ usage, metrics, p: 'abcd' }, 'metadata'];
}

const faults = {
  invalid: [400, 'ValidationException'],
  missing: [404, 'ResourceNotFoundException'],
  limited: [429, 'ThrottlingException'],
  failed: [500, 'InternalServerException'],
  overloaded: [503, 'ServiceUnavailableException'],
  key: [403, 'UnrecognizedClientException'],
};

export const converse = {
  format: 'bedrock-converse',
  named: 'claude-on-converse', // of whom signatures are expected
  dialect: 'bedrock',
  host: 'bedrock',
  path: ({ model, stream }) => `/model/${UPSTREAM_PREFIX}${model}/${stream ? 'converse-stream' : 'converse'}`,
  streams: ({ path }) => path.endsWith('-stream'),
  tells: { sequence: true, signed: 'anthropic', refusal: 'part', written: true, reasoning: false },
  takes: { stop: true, url: false, serial: false, cache: true },
  headers: { 'x-amzn-requestid': 'req-story', 'x-other': 'kept' },
  private_header: 'x-amzn-requestid',
  type: 'application/vnd.amazon.eventstream',
  read,
  whole,
  events,
  frame: (value, name) => eventFrame(value, name, name.endsWith('Exception') ? 'exception' : 'event'),
  status: (name) => faults[name][0],
  fault(name) {
    const [status, type] = faults[name];
    return [status, { message: FAULT_TEXT[name] }, { 'x-amzn-errortype': `${type}:http://internal.example/` }];
  },
};
