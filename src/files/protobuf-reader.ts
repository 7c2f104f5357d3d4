/** Reader of the protocol-buffer wire format: the fields of one message, in their order. Source: protobuf.dev, "Encoding". */

import { StableDiffusionError } from '../errors.ts';

/** The value of a field as it is on the wire: a number, its 4 or 8 bytes, or the bytes of a text, a message or a list. */
export type ProtoValue =
  | { readonly kind: 'varint'; readonly value: bigint }
  | { readonly kind: 'fixed32' | 'fixed64' | 'bytes'; readonly bytes: Uint8Array };

export type ProtoField = ProtoValue & { readonly field: number };

function corrupt(label: string, found: string): StableDiffusionError {
  return new StableDiffusionError('file-corrupt', `${label} is not a protocol-buffer message: ${found}.`);
}

/** The base-128 number at `start`, and where it ends. */
function varintAt(bytes: Uint8Array, start: number, label: string): readonly [value: bigint, end: number] {
  let value = 0n;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw corrupt(label, `it ends inside a number at byte ${start + i}`);
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return [BigInt.asUintN(64, value), start + i + 1];
  }
  throw corrupt(label, `the number at byte ${start} is longer than 10 bytes`);
}

/** The fields of a message. `label` names it in errors. Throws `file-corrupt`. */
export function* protoFields(bytes: Uint8Array, label: string): Generator<ProtoField> {
  const sized = (at: number, size: number): Uint8Array => {
    if (at + size > bytes.length)
      throw corrupt(label, `a field at byte ${at} needs ${size} bytes, and ${bytes.length - at} are left`);
    return bytes.subarray(at, at + size);
  };
  let at = 0;
  while (at < bytes.length) {
    const [tag, start] = varintAt(bytes, at, label);
    const field = Number(tag >> 3n);
    if (field < 1 || field > 0x1fff_ffff) throw corrupt(label, `byte ${at} begins a field of number ${field}`);
    switch (Number(tag & 7n)) {
      case 0: {
        const [value, end] = varintAt(bytes, start, label);
        yield { field, kind: 'varint', value };
        at = end;
        break;
      }
      case 1:
        yield { field, kind: 'fixed64', bytes: sized(start, 8) };
        at = start + 8;
        break;
      case 2: {
        const [length, from] = varintAt(bytes, start, label);
        if (length > BigInt(bytes.length)) throw corrupt(label, `a field at byte ${at} states ${length} bytes`);
        const size = Number(length);
        yield { field, kind: 'bytes', bytes: sized(from, size) };
        at = from + size;
        break;
      }
      case 5:
        yield { field, kind: 'fixed32', bytes: sized(start, 4) };
        at = start + 4;
        break;
      default:
        throw corrupt(label, `byte ${at} begins a field of an unknown kind`);
    }
  }
}
