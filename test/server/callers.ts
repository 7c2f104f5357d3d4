/** Two callers with keys. */

export const keys = [
  { name: 'alice', secret: 'a-secret-of-alice' },
  { name: 'bob', secret: 'a-secret-of-bob' },
];
/** Their headers. */
export const alice = { 'x-api-key': 'a-secret-of-alice' };
export const bob = { 'x-api-key': 'a-secret-of-bob' };
