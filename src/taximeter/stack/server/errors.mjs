// HTTP status of a database error, as PostgREST maps it.

const EXACT = {
  23502: 400,
  23503: 409,
  23505: 409,
  25006: 405,
  53400: 500,
  '57P01': 503,
  P0001: 400,
};

const BY_CLASS = {
  '08': 503,
  '0L': 403,
  '0P': 403,
  25: 500,
  28: 403,
  38: 500,
  39: 500,
  '3B': 500,
  40: 500,
  53: 503,
  54: 500,
  55: 500,
  57: 500,
  58: 500,
  F0: 500,
  HV: 500,
  P0: 500,
  XX: 500,
};

/**
 * @param {string} code
 * @param {string} message
 */
export function statusOf(code, message) {
  if (code === '21000') return message.includes('requires a WHERE clause') ? 400 : 500;
  if (code === '22023' && /^role .* does not exist$/.test(message)) return 401;
  return EXACT[code] ?? BY_CLASS[code.slice(0, 2)] ?? 400;
}
