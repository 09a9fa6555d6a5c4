// What reading a provider's request takes, in any format. Used by upstreams.mjs
// and the files of its formats.

export const CREATED_S = 1760000000;

// Without what is not said.
export function present(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined && value?.length !== 0));
}

// Messages of one side in a row are one, whatever the format calls them.
export class Conversation {
  constructor() {
    this.turns = [];
  }

  turn(role) {
    if (this.turns.at(-1)?.role !== role) this.turns.push({ role, texts: [], images: [], calls: [], results: [] });
    return this.turns.at(-1);
  }

  read() {
    return this.turns.map(({ texts, ...rest }) =>
      present({ ...rest, text: texts.length ? texts.join('\n') : undefined }),
    );
  }
}

// A string, or a list of parts with text.
export function joined(content) {
  return typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join('');
}

export function dataUrl(url) {
  const [, media_type, data] = /^data:([^;]+);base64,(.*)$/s.exec(url) ?? [];
  return data ? { media_type, data } : { url };
}

// A text in pieces, none of them longer.
export function pieces(text, length) {
  return text.match(new RegExp(`.{1,${length}}`, 'gsu')) ?? [];
}
