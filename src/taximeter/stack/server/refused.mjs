// What the gateway itself refuses, in the shape that the database's and the functions' errors have.

export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message a stable code
   * @param {string} details a sentence
   * @param {string | null} hint
   */
  constructor(status, message, details, hint = null) {
    super(message);
    this.status = status;
    this.body = JSON.stringify({ code: `PT${status}`, message, details, hint });
  }

  get headers() {
    return {
      'access-control-allow-origin': '*',
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(this.body),
    };
  }
}

/** @param {number} limit */
export function bodyTooLarge(limit) {
  return new Refused(413, 'body_too_large', `The request body is larger than ${limit} bytes.`);
}
