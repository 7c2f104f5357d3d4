/** Names of files that workflows write, as ComfyUI counts them: `PREFIX_00001_.png`. */

export const numberedName = (name: string, counter: number, ending: string): string =>
  `${name}_${String(counter).padStart(5, '0')}_.${ending}`;
