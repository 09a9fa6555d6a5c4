// What providers do in the tests of translated calls, told once for all formats:
// upstreams.mjs tells it in each. A story takes the request as `read` of its
// format gives it and says what the answer is:
//
//     pieces    texts, each an event of a stream; any iterable
//     thinking  what was thought before, and its signature
//     calls     tool calls: {id, name, input}
//     refusal   the words by which the model declines
//     stop      'end', 'length', 'tools', 'sequence' or 'refusal'
//     sequence  the stop sequence that matched
//     then      instead of an end: 'error', 'cut', 'stall'
//     pause_ms  between the events
//     fault     instead of all that an error, one of FAULTS
//     silent    instead of all that nothing

export const PIECES = ['Två koppar kaffe', ' – ☕☕ “tack” \\ ', '\n\tund ein', ' Brötchen. 🫖'];
export const TEXT = PIECES.join('');
export const TEXT_BEFORE_CALLS = 'I will look.';
export const THINKING = 'Two cities, so two calls.';
export const SIGNATURE = 'c2lnbmF0dXJlLW9mLXRoZS10aG91Z2h0cw==';
export const REFUSAL = 'I will not brew “that”.';
export const CITIES = [
  { id: 'call_1aA-_', name: 'forecast', input: { city: 'Luleå "nord"', days: 2, more: [{ deep: null }, 1.5e3] } },
  { id: 'call_2bB-_', name: 'forecast', input: { city: 'Tromsø', days: 3, more: [] } },
];
export const WEATHER = { city: 'Tromsø', degrees: -4.5, sky: ['snow', 'sun'] };

// input counts everything, the cache as well.
export const USAGE = { input: 49, cached: 7, written: 30, output: 25, reasoning: 5 };

// Each in the words and with the status that the provider's format has for it.
export const FAULTS = ['invalid', 'missing', 'limited', 'failed', 'overloaded', 'key'];
export const RETRY_AFTER_S = 7;

const text = { pieces: PIECES, stop: 'end' };

function* words() {
  for (let i = 0; i < 500; i += 1) yield `word ${i} `;
}

// Calls both tools until the conversation ends with their results.
function calls(request) {
  const results = request.messages.at(-1).results;
  return results ? text : { pieces: [TEXT_BEFORE_CALLS], calls: CITIES, stop: 'tools' };
}

const pondering = { pieces: undefined, thinking: THINKING, signature: SIGNATURE };

// What the user said, word by word.
function repeats(request) {
  return { pieces: request.messages.at(-1).text.split(/(?<= )/), stop: 'end' };
}

export const stories = {
  text: () => text,
  repeats,
  calls,
  'calls-bare': () => ({ calls: [{ id: 'call_3cC', name: 'forecast', input: {} }], stop: 'tools' }),
  thinks: () => ({ ...text, thinking: THINKING, signature: SIGNATURE }),
  ponders: (request) => ({ ...calls(request), ...(request.messages.at(-1).results ? {} : pondering) }),
  structured: () => ({ pieces: JSON.stringify(WEATHER).match(/.{1,9}/gsu), stop: 'end' }),
  refuses: () => ({ refusal: REFUSAL, stop: 'refusal' }),
  length: () => ({ pieces: PIECES, stop: 'length' }),
  sequence: () => ({ pieces: PIECES, stop: 'sequence', sequence: 'END' }),
  endless: () => ({ pieces: words(), stop: 'end', pause_ms: 10 }),
  stalled: () => ({ pieces: ['So far'], then: 'stall' }),
  breaks: () => ({ pieces: ['So far'], then: 'error', pause_ms: 20 }), // a client may drop what comes with the error
  cut: () => ({ pieces: ['So far'], then: 'cut' }),
  silent: () => ({ silent: true }),
  ...Object.fromEntries(FAULTS.map((fault) => [fault, () => ({ fault })])),
};

export const FAULT_TEXT = Object.fromEntries(FAULTS.map((fault) => [fault, `the “${fault}” of the provider`]));
