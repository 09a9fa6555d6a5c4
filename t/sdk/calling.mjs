// What asking takes, with any SDK. Used by callers.mjs and the files of its rows.

// Without what is not said.
export function present(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

export function filled(list) {
  return list?.length ? list : undefined;
}

// Of a call and of a client, for the SDKs of OpenAI and Anthropic.
export const options = ({ signal, headers }) => present({ signal, headers });
export const clientOptions = ({ apiKey }) => present({ apiKey });

// An error of theirs; body is what it holds in their format.
export function sdkFailed(error, SDK, body) {
  return {
    type: error.constructor.name,
    status: error.status,
    message: body?.message,
    wire: body?.type,
    header: (name) => error.headers?.get(name),
    request_id: error.requestID,
    told: error instanceof SDK.APIError && !(error instanceof SDK.APIConnectionError),
    left: error instanceof SDK.APIUserAbortError,
  };
}
