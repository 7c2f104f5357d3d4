/** The name of a model in records and infotexts: never a path that reveals folders of the user's machine. */

const ending = /\.(safetensors|ckpt|pt|pth|bin)$/i;

function lastPart(path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => part !== '');
  return parts.at(-1) ?? path;
}

/** For records: a path below the current directory unchanged; for any other path or address its last part. */
export function recordedModel(label: string): string {
  const isAddress = /^[a-z][a-z0-9+.-]+:\/\//i.test(label);
  if (isAddress) return lastPart(label.split(/[?#]/, 1)[0] ?? label);
  const leavesFolder = /^[\\/~]|^[a-z]:/i.test(label) || label.split(/[\\/]/).includes('..');
  return leavesFolder ? lastPart(label) : label;
}

/** For infotexts, as in A1111: the file's name without its extension. */
export function modelName(label: string): string {
  return lastPart(label).replace(ending, '');
}
