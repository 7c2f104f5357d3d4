/** The oldest version of Node that this program runs on. Imports nothing, and is written so that old versions can read it. */

const needed = [20, 20] as const;

/** Why a version of Node is too old; undefined for one that is not. Bun and Deno state the version of Node that they replace. */
export function nodeVersionFault(found: string = process.versions.node): string | undefined {
  const [major = 0, minor = 0] = found.split('.').map(Number);
  if (major > needed[0] || (major === needed[0] && minor >= needed[1])) return undefined;
  return `Node.js ${needed.join('.')} or later is required, and this is ${found}. Install a newer one from https://nodejs.org and run it again.`;
}
