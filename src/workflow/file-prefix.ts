/** The words of `filename_prefix` that ComfyUI's server fills in: `%width%`, `%height%`, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%`. */

/** A prefix with its words filled in; the date is the local one. */
export function filledPrefix(
  prefix: string,
  { width, height }: { readonly width: number; readonly height: number },
  now: Date,
): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const words: Readonly<Record<string, string>> = {
    width: String(width),
    height: String(height),
    year: String(now.getFullYear()),
    month: two(now.getMonth() + 1),
    day: two(now.getDate()),
    hour: two(now.getHours()),
    minute: two(now.getMinutes()),
    second: two(now.getSeconds()),
  };
  return prefix.replace(/%([a-z]{1,8})%/g, (whole, word: string) => words[word] ?? whole);
}
