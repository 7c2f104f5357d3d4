/** The errors of zip archives, and the numbers and names that they are about. */

import { StableDiffusionError } from '../errors.ts';

export function decodeName(label: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw corrupt(label, 'the name of a record is not UTF-8', cause);
  }
}

export function safe(label: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(label, `it declares a size of ${value} bytes`);
  return Number(value);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

export function encrypted(label: string, name: string): StableDiffusionError {
  return new StableDiffusionError(
    'file-unsupported',
    `${label}: record ${quote(name)} is encrypted, and encrypted archives cannot be read.`,
  );
}

export function corrupt(label: string, reason: string, cause?: unknown): StableDiffusionError {
  return new StableDiffusionError('file-corrupt', `${label} is a damaged zip archive: ${reason}. Get it again.`, {
    cause,
  });
}
