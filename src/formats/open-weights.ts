/** Opens a weights file by its content, ignoring its name. For browsers; `open-weights-node.ts` takes paths. */

import type { Stranger } from './strangers.ts';
import { StableDiffusionError } from '../errors.ts';
import type { ByteSource } from '../files/byte-source.ts';
import { openSafetensors } from './safetensors.ts';
import { fromInt8 } from '../weights/int8-file.ts';
import { withoutScales } from '../weights/scaled-float8.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** Readers that a page loads only with the first file of their format. */
const readers = {
  gguf: () => import('./gguf.ts'),
  torch: () => import('./torch/file.ts'),
};

/**
 * Opens `.safetensors`, GGUF and both formats of `torch.save`. Reads headers only. The source is closed with what is returned, and at once
 * where opening fails. Throws `file-truncated`, `file-corrupt`, `file-unsafe` or `file-unsupported`, naming the file and the reason.
 */
export async function openWeights(source: ByteSource): Promise<WeightSource> {
  try {
    return fromInt8(withoutScales(await open(source)));
  } catch (cause) {
    await source.close();
    throw cause;
  }
}

async function open(source: ByteSource): Promise<WeightSource> {
  const { label, size } = source;
  if (size === 0) throw new StableDiffusionError('file-truncated', `${label} is empty. Get it again.`);
  const head = await source.read(0, Math.min(size, 512));
  // One character a byte, so that signatures can be compared as text.
  const text = String.fromCharCode(...head);

  const named = /\.safetensors$/i.test(label);
  // The length of a header below 2^40 bytes, and its first character.
  if (named && text.slice(5, 9) === '\0\0\0{') return openSafetensors(source);
  const { strangeZip, strangerByFormat, strangerByHead } = await import('./strangers.ts');
  const stranger = strangerByHead({ label, text });
  if (stranger) throw notWeights(label, stranger.what, stranger.code);
  if (text.startsWith('PK\x03\x04')) {
    const strange = strangeZip(text);
    if (strange !== undefined) throw notWeights(label, strange, 'file-unsupported');
    // People trust the name: what holds a pickle should not pass under it.
    if (named)
      throw notWeights(
        label,
        'a zip archive, as torch.save writes, under the name of a .safetensors file. If you trust where it is from, call it .ckpt and open it again',
      );
    return (await readers.torch()).openTorchZip(source);
  }
  if (text.startsWith('PK\x05\x06')) throw notWeights(label, 'an empty zip archive');
  if (named || text.charAt(8) === '{') return openSafetensors(source);
  if (text.slice(257, 262) === 'ustar')
    throw notWeights(
      label,
      'a tar archive. The tar format of PyTorch 0.1 is not supported: load it in PyTorch and save it again',
      'file-unsupported',
    );
  if (head[0] === 0x80 || /^(?:[IL][0-9]+L?\n|\(?c[\w.]+\n[\w.]+\n|\([dlt]p?[0-9]*\n)/.test(text))
    return (await readers.torch()).openTorchLegacy(source);
  if (text.startsWith('GGUF')) return (await readers.gguf()).openGguf(source);
  const other = strangerByFormat({ label, text });
  if (other) throw notWeights(label, other.what, other.code);
  throw notWeights(
    label,
    `not in a known format (it starts with the bytes ${[...head.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}). Supported are .safetensors and GGUF files and those of torch.save`,
  );
}

function notWeights(label: string, what: string, code: Stranger['code'] = 'file-corrupt'): StableDiffusionError {
  return new StableDiffusionError(code, `${label} is ${what}.`);
}
