/** Tar archives for tests of shards. */

/** A tar of these files in their order. */
export function tarOf(files: readonly (readonly [name: string, content: string | Uint8Array])[]): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const [name, content] of files) {
    const data = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    const header = new Uint8Array(512);
    const put = (text: string, at: number): void => header.set(new TextEncoder().encode(text), at);
    put(name, 0);
    put('0000644', 100);
    put(data.length.toString(8).padStart(11, '0'), 124);
    put('        ', 148);
    put('0', 156);
    put(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    const padded = new Uint8Array(Math.ceil(data.length / 512) * 512);
    padded.set(data);
    blocks.push(header, padded);
  }
  return Uint8Array.from(Buffer.concat([...blocks, new Uint8Array(1024)]));
}
