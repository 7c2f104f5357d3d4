/** Files that are no weights this program reads, by their first bytes or their names: what each is, and what to do. One row a kind. */

interface Head {
  /** The file's name. */
  readonly label: string;
  /** Its first bytes, one character a byte. */
  readonly text: string;
}

export interface Stranger {
  /** What follows "NAME is". */
  readonly what: string;
  readonly code: 'file-corrupt' | 'file-unsupported' | 'file-truncated';
}

interface Row {
  readonly matches: (head: Head) => boolean;
  readonly what: string | ((head: Head) => string);
  /** Default `file-unsupported`. */
  readonly code?: Stranger['code'];
}

const begins = (signature: string, what: string): Row => ({ what, matches: ({ text }) => text.startsWith(signature) });
const named = (pattern: RegExp, what: string): Row => ({ what, matches: ({ label }) => pattern.test(label) });
const asSafetensors = 'which is not supported; get the weights as .safetensors';

/** Names that programs give to downloads that they have not finished. */
const unfinished = /\.(?:part|partial|crdownload|opdownload|download|incomplete|aria2|!qb|!ut)$/i;

/** A line of a text, as far as it is short. */
const quoted = (text: string): string =>
  JSON.stringify(
    text
      .trim()
      .split(/[\r\n]/, 1)[0]
      ?.slice(0, 80) ?? '',
  );

/** Letters and punctuation alone: no number of a header has that. */
const isText = (text: string): boolean => text.length >= 4 && /^[\t\n\r\x20-\x7e]*$/.test(text.slice(0, 64));

const lfsSize = /\nsize ([0-9]{1,15})\n/;

/** Before the formats of weights are tried. */
const early: readonly Row[] = [
  {
    matches: ({ text }) => text.startsWith('version https://git-lfs.github.com/spec/'),
    what: ({ text }) => {
      const [, real] = lfsSize.exec(text) ?? [];
      return `a Git LFS pointer and not the file itself${real ? `, which has ${real} bytes` : ''}; run "git lfs pull" or download the file`;
    },
    code: 'file-corrupt',
  },
  {
    matches: ({ text }) => /^\s*(?:<\?xml[^>]*>\s*)?<net\b/.test(text),
    what: `a model of OpenVINO, ${asSafetensors}`,
  },
  {
    matches: ({ text }) => /^\s*(?:<!doctype|<html|<\?xml|<head)/i.test(text),
    what: 'a web page saved under this name: the download failed, perhaps because it needs a login. Download it again',
    code: 'file-corrupt',
  },
  {
    matches: ({ label }) => unfinished.test(label),
    what: 'an unfinished download, by its name. Let it finish, or download the file again',
    code: 'file-truncated',
  },
  {
    matches: ({ label, text }) => /\.(?:safetensors|gguf)$/i.test(label) && isText(text),
    what: ({ text }) =>
      `a text saved under this name (${quoted(text)}): the download failed, perhaps because it needs a login. Download it again`,
    code: 'file-corrupt',
  },
];

/** Where the format is none of weights. */
const late: readonly Row[] = [
  begins('\x89HDF', `an HDF5 file (Keras), ${asSafetensors}`),
  begins('\x1f\x8b', 'compressed with gzip; unpack it first'),
  begins('\x28\xb5\x2f\xfd', 'compressed with zstd; unpack it first'),
  begins('BZh', 'compressed with bzip2; unpack it first'),
  begins('\xfd7zXZ', 'compressed with xz; unpack it first'),
  begins('7z\xbc\xaf', 'a 7z archive; unpack it first'),
  begins('Rar!', 'a RAR archive; unpack it first'),
  begins('\x89PNG', 'a PNG picture'),
  begins('\xff\xd8\xff', 'a JPEG picture'),
  begins('GIF8', 'a GIF picture'),
  begins('RIFF', 'a WebP picture or a sound'),
  begins('%PDF', 'a PDF document'),
  begins('\x93NUMPY', 'a NumPy array, which is not supported'),
  begins('ftrt', `an engine of TensorRT, ${asSafetensors}`),
  begins('ptrt', `an engine of TensorRT, ${asSafetensors}`),
  named(/\.(?:engine|trt|plan)$/i, `an engine of TensorRT, ${asSafetensors}`),
  named(/\.mlmodel$/i, `a model of Core ML, ${asSafetensors}`),
  named(/(?:^|[\\/])openvino_[^\\/]*\.bin$/i, `the weights of an OpenVINO model, ${asSafetensors}`),
  named(/\.onnx(?:_data|\.data)?$/i, `an ONNX model, ${asSafetensors}`),
  // ONNX's ModelProto: its version, then the name of the program that wrote it.
  {
    matches: ({ text }) => /^\x08[\x01-\x20](?:\x12[\x01-\x40][\x20-\x7e]|[:B\x1a])/.test(text),
    what: `an ONNX model, ${asSafetensors}`,
  },
  { matches: ({ text }) => text.slice(4, 8) === 'TFL3', what: `a model of TensorFlow Lite, ${asSafetensors}` },
  {
    matches: ({ text, label }) => /\.msgpack$/i.test(label) || /^[\x81-\x8f]\xa6params/.test(text),
    what: `a Flax file (msgpack), ${asSafetensors}`,
  },
  { matches: ({ text }) => text.slice(4, 8) === 'ftyp', what: 'a film' },
  begins('MZ', 'a Windows program'),
  begins('\x7fELF', 'a Linux program'),
  begins('d8:announce', 'a torrent, which names a file and is not the file; download it with a torrent program'),
  begins('{', 'a JSON text; for a sharded checkpoint, name the file *.index.json'),
  {
    matches: ({ text }) => /^\x00+$/.test(text),
    what: 'nothing but zeros: the download failed. Get it again',
    code: 'file-corrupt',
  },
  {
    matches: ({ text }) => isText(text),
    what: ({ text }) => `a text (${quoted(text)}), not weights`,
    code: 'file-corrupt',
  },
];

function firstOf(rows: readonly Row[], head: Head): Stranger | undefined {
  const found = rows.find(({ matches }) => matches(head));
  if (!found) return undefined;
  const { what, code = 'file-unsupported' } = found;
  return { what: typeof what === 'string' ? what : what(head), code };
}

/** What a file is whose name or first bytes say that it holds no weights. */
export const strangerByHead = (head: Head): Stranger | undefined => firstOf(early, head);

/** What a file of no format of weights is. */
export const strangerByFormat = (head: Head): Stranger | undefined => firstOf(late, head);

/** What a zip archive is that torch.save did not write, by the name of its first file; undefined where it may be one of torch.save. */
export function strangeZip(text: string): string | undefined {
  const length = text.charCodeAt(26) + 256 * text.charCodeAt(27);
  const first = text.slice(30, 30 + length);
  if (length === 0 || first.length < length) return undefined;
  if (/\.npy$/i.test(first)) return 'a NumPy archive (.npz), which holds no model';
  const weights = /\.(?:safetensors|ckpt|gguf|pth?|bin|sft)$/i.test(first) || !first.includes('/');
  return weights ? `a zip archive that begins with ${JSON.stringify(first.slice(0, 100))}; unpack it first` : undefined;
}
