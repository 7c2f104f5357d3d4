/** Files of a folder by their path from there, as ComfyUI lists them: hidden ones are left out, links are followed, a circle of links ends. */

import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';

export interface ListedFile {
  /** With `/` and its ending. */
  readonly name: string;
  readonly path: string;
}

/** A folder given by mistake must not be walked through. */
const limits = { depth: 8, files: 10_000 } as const;

/** None for a folder that is not there. */
export async function filesIn(
  folder: string,
  endings: readonly string[],
  { deep = true }: { readonly deep?: boolean } = {},
): Promise<ListedFile[]> {
  const found: ListedFile[] = [];
  const visited = new Set<string>();
  const walk = async (inside: string, depth: number): Promise<void> => {
    const path = join(folder, inside);
    const real = await realpath(path).catch(() => undefined);
    if (real === undefined || visited.has(real) || depth > limits.depth) return;
    visited.add(real);
    for (const name of (await readdir(path).catch(() => [])).sort()) {
      if (name.startsWith('.') || found.length >= limits.files) continue;
      const own = inside === '' ? name : `${inside}/${name}`;
      const status = await stat(join(folder, own)).catch(() => undefined);
      if (status?.isDirectory() && deep) await walk(own, depth + 1);
      else if (status?.isFile() && endings.includes(extname(name).toLowerCase()))
        found.push({ name: own, path: join(folder, own) });
    }
  };
  await walk('', 0);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
