/** Opens a weights file by its content, ignoring its name. For browsers; `open-weights-node.ts` takes paths. */

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

/** First bytes of files that are not checkpoints, and their descriptions. */
const strangers: readonly (readonly [string, string])[] = [
  ['\x89HDF', 'an HDF5 file (Keras), which is not supported; get the weights as .safetensors'],
  ['\x1f\x8b', 'compressed with gzip; unpack it first'],
  ['\x28\xb5\x2f\xfd', 'compressed with zstd; unpack it first'],
  ['7z\xbc\xaf', 'a 7z archive; unpack it first'],
  ['Rar!', 'a RAR archive; unpack it first'],
  ['\x89PNG', 'a PNG picture'],
  ['\xff\xd8\xff', 'a JPEG picture'],
  ['%PDF', 'a PDF document'],
  ['\x93NUMPY', 'a NumPy array, which is not supported'],
  ['{', 'a JSON text; for a sharded checkpoint, name the file *.index.json'],
];

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

  if (text.startsWith('version https://git-lfs.github.com/spec/')) {
    const real = /\nsize ([0-9]{1,15})\n/.exec(text)?.[1];
    throw notWeights(
      label,
      `a Git LFS pointer and not the file itself${real ? `, which has ${real} bytes` : ''}; run "git lfs pull" or download the file`,
    );
  }
  if (/^\s*(?:<!doctype|<html|<\?xml|<head)/i.test(text))
    throw notWeights(
      label,
      'a web page saved under this name: the download failed, perhaps because it needs a login. Download it again',
    );
  const named = /\.safetensors$/i.test(label);
  if (text.startsWith('PK\x03\x04')) {
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
  for (const [signature, what] of strangers) {
    if (text.startsWith(signature)) throw notWeights(label, what, 'file-unsupported');
  }
  throw notWeights(
    label,
    `not in a known format (it starts with the bytes ${[...head.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}). Supported are .safetensors and GGUF files and those of torch.save`,
  );
}

function notWeights(
  label: string,
  what: string,
  code: 'file-corrupt' | 'file-unsupported' = 'file-corrupt',
): StableDiffusionError {
  return new StableDiffusionError(code, `${label} is ${what}.`);
}
