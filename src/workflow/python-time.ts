/** Python's `time.strftime` for the codes of date and time that names and prompts have; local time. Other codes stay as they are. */

const two = (value: number): string => String(value).padStart(2, '0');

const codes: Readonly<Record<string, (at: Date) => string>> = {
  Y: (at) => String(at.getFullYear()),
  y: (at) => two(at.getFullYear() % 100),
  m: (at) => two(at.getMonth() + 1),
  d: (at) => two(at.getDate()),
  H: (at) => two(at.getHours()),
  I: (at) => two(at.getHours() % 12 || 12),
  M: (at) => two(at.getMinutes()),
  S: (at) => two(at.getSeconds()),
  p: (at) => (at.getHours() < 12 ? 'AM' : 'PM'),
  A: (at) => at.toLocaleDateString('en', { weekday: 'long' }),
  a: (at) => at.toLocaleDateString('en', { weekday: 'short' }),
  B: (at) => at.toLocaleDateString('en', { month: 'long' }),
  b: (at) => at.toLocaleDateString('en', { month: 'short' }),
  '%': () => '%',
};

/** `strftime(format)` at a time. */
export const pythonTime = (format: string, at: Date): string =>
  format.replace(/%([A-Za-z%])/g, (whole, code: string) => codes[code]?.(at) ?? whole);
