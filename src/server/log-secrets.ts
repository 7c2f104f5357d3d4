/** Secrets in log entries, found by the names of their fields wherever they lie: libraries log whole sets of headers at `trace`. */

const secretName =
  /^(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|x-goog-api-key|api[-_]?key|secret|password|signature)$/i;

/** Maximum depth of folders to scan. */
const deepest = 8;

/** A copy of a log entry with `[secret]` for each field of such a name. */
export function withoutSecrets(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > deepest) return value;
  if (Array.isArray(value)) return value.map((inner) => withoutSecrets(inner, depth + 1));
  // Errors, requests and the like are for the logger's own serialisers.
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      secretName.test(name) ? '[secret]' : withoutSecrets(inner, depth + 1),
    ]),
  );
}
