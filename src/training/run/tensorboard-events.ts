/**
 * TensorBoard's event files: TFRecords (length, its checksum, data, its checksum) of `Event` messages (tensorflow/core/util/event.proto and
 * framework/summary.proto). Scalars and pictures.
 */

import { ProtoWriter } from '../../formats/protobuf.ts';
import { maskedCrc32c } from '../../files/crc32c.ts';

export interface EventImage {
  readonly width: number;
  readonly height: number;
  /** A PNG file's bytes. */
  readonly png: Uint8Array;
}

/** Seconds since 1970, and the training step. */
export interface EventTime {
  readonly seconds: number;
  readonly step: number;
}

/** The first record of every file. */
export function versionRecord(seconds: number): Uint8Array {
  return record(new ProtoWriter().double(1, seconds).string(3, 'brain.Event:2'));
}

/** Marks a resumed run after `step`: TensorBoard drops later steps of earlier files. */
export function restartRecord(time: EventTime): Uint8Array {
  return record(event(time).message(7, new ProtoWriter().int(1, 1)));
}

/** Values by tag, such as `train/loss`. */
export function scalarRecord(time: EventTime, values: Readonly<Record<string, number>>): Uint8Array {
  const summary = new ProtoWriter();
  for (const [tag, value] of Object.entries(values))
    summary.message(1, new ProtoWriter().string(1, tag).float(2, value));
  return record(event(time).message(5, summary));
}

/** One picture under a tag. */
export function imageRecord(time: EventTime, tag: string, { width, height, png }: EventImage): Uint8Array {
  const image = new ProtoWriter().int(1, height).int(2, width).int(3, 3).bytes(4, png);
  return record(
    event(time).message(5, new ProtoWriter().message(1, new ProtoWriter().string(1, tag).message(4, image))),
  );
}

function event({ seconds, step }: EventTime): ProtoWriter {
  return new ProtoWriter().double(1, seconds).int(2, step);
}

function record(message: ProtoWriter): Uint8Array {
  const data = message.finish();
  const bytes = new Uint8Array(16 + data.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return bytes;
}
