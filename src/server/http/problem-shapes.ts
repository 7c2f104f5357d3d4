/** The error format of each API: FastAPI's and A1111's, OpenAI's, Google's, ComfyUI's, and our own. */

import type { Problem } from './problem.ts';

export type Flavour = 'a1111' | 'openai' | 'gemini' | 'comfyui' | 'own';

/** Wrong fields as FastAPI's 422 (pydantic 1, as A1111 1.10.1 has it), others as A1111's HTTPException. */
function a1111Shape({ status, code, message, issues }: Problem): unknown {
  if (status === 422 || code === 'bad-request') {
    const detail = issues ?? [{ where: ['body'], message, type: 'value_error' }];
    return { detail: detail.map(({ where, message: msg, type }) => ({ loc: where, msg, type })) };
  }
  return { error: 'HTTPException', detail: message, body: '', errors: '' };
}

/** OpenAI's codes of what can be wrong with a field. */
function fieldCode(type: string | undefined): string {
  if (type === 'value_error.missing') return 'missing_required_parameter';
  return type?.startsWith('type_error') ? 'invalid_type' : 'invalid_value';
}

function openaiShape({ status, code, message, where, name, issues }: Problem): unknown {
  const type =
    status === 401
      ? 'authentication_error'
      : status === 403
        ? 'permission_error'
        : status === 429
          ? 'rate_limit_error'
          : status >= 500
            ? 'server_error'
            : 'invalid_request_error';
  const codes: Partial<Record<number, string>> = {
    401: 'invalid_api_key',
    404: 'model_not_found',
    429: 'rate_limit_exceeded',
    413: 'request_too_large',
  };
  const ownCode =
    name ??
    codes[status] ??
    (code === 'busy' ? 'server_overloaded' : issues ? fieldCode(issues[0]?.type) : code.replaceAll('-', '_'));
  return {
    error: { message, type, param: where && where.length > 1 ? where.slice(1).join('.') : null, code: ownCode },
  };
}

function ownShape({ code, message, issues }: Problem): unknown {
  return {
    error: {
      code,
      message,
      ...(issues
        ? { issues: issues.map(({ where, message: text }) => ({ where: where.join('.'), message: text })) }
        : {}),
    },
  };
}

/** Google's codes (google.rpc.Code) of statuses. */
const googleCodes: Partial<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  503: 'UNAVAILABLE',
};

function geminiShape({ status, message }: Problem): unknown {
  const code = status === 422 ? 400 : status;
  const name = googleCodes[code] ?? (code >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT');
  return { error: { code, message, status: name } };
}
/** As ComfyUI refuses a prompt: its pages and clients show `error.message`. */
const comfyuiShape = ({ code, message, where = [] }: Problem): unknown => ({
  error: { type: code, message, details: where.slice(1).join('.'), extra_info: {} },
  node_errors: {},
});

const shapes: { readonly [F in Flavour]: (problem: Problem) => unknown } = {
  a1111: a1111Shape,
  openai: openaiShape,
  gemini: geminiShape,
  comfyui: comfyuiShape,
  own: ownShape,
};

/** Status and body of an answer. OpenAI and Google have 400 where FastAPI has 422. */
export function problemAnswer(flavour: Flavour, problem: Problem): { readonly status: number; readonly body: unknown } {
  const status =
    flavour === 'a1111' && problem.code === 'bad-request' && problem.status === 400
      ? 422
      : (flavour === 'openai' || flavour === 'gemini') && problem.status === 422
        ? 400
        : problem.status;
  return { status, body: shapes[flavour](problem) };
}
