/** Values of other programs' settings. */

/** A text with something in it. */
export const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** A file's name without its folders and its ending, as A1111 calls a model. */
export function modelName(value: unknown): string | undefined {
  const last = text(value)?.split(/[\\/]/).at(-1);
  return last?.replace(/\.(?:safetensors|ckpt|pt|gguf)$/i, '') || undefined;
}
