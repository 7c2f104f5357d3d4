/** How a record and an infotext name a model: never by a path that says where on somebody's machine it lies. */

const ending = /\.(safetensors|ckpt|pt|pth|bin)$/i;

function lastPart(path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => part !== '');
  return parts.at(-1) ?? path;
}

/** For records: a path below the current directory as it is; of any other path, and of an address, the last part. */
export function recordedModel(label: string): string {
  const isAddress = /^[a-z][a-z0-9+.-]+:\/\//i.test(label);
  if (isAddress) return lastPart(label.replace(/[?#].*$/, ''));
  const leavesFolder = /^[\\/~]|^[a-z]:/i.test(label) || label.split(/[\\/]/).includes('..');
  return leavesFolder ? lastPart(label) : label;
}

/** For infotexts, as A1111: the file's name without its ending. */
export function modelName(label: string): string {
  return lastPart(label).replace(ending, '');
}
