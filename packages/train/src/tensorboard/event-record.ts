/**
 * What TensorBoard reads, as bytes: one event in protobuf (tensorflow/core/util/event.proto and framework/summary.proto; the field numbers
 * below are theirs), and one record around it. No library for it is alive; protobufjs writes the wire format.
 *
 *   record = length (uint64) · masked CRC-32C of the length · data · masked CRC-32C of the data, all little-endian
 */
import protobuf from 'protobufjs/minimal.js';
import { maskedCrc32c } from './crc32c.ts';

const { Writer } = protobuf;
type Writer = protobuf.Writer;

export type EventContent =
  /** Opens every file; from `brain.Event:2` on a restart is told of by a session. */
  | { readonly kind: 'file-version' }
  /** What other files hold of this step and later ones is void. */
  | { readonly kind: 'session-start' }
  | { readonly kind: 'scalars'; readonly values: Readonly<Record<string, number>> }
  | { readonly kind: 'image'; readonly tag: string; readonly png: Uint8Array; readonly width: number; readonly height: number }
  | { readonly kind: 'text'; readonly tag: string; readonly text: string };

/** DataType.DT_STRING of tensorflow/core/framework/types.proto. */
const stringType = 7;
/** SessionLog.START */
const sessionStart = 1;
/** ImageSummary.colorspace: RGBA. */
const rgba = 4;

/** `wallTime` in seconds since 1970. */
export function eventRecord(wallTime: number, step: number, content: EventContent): Uint8Array {
  const event = Writer.create().uint32(field(1, fixed64)).double(wallTime);
  if (step !== 0) event.uint32(field(2, varint)).int64(step);
  if (content.kind === 'file-version') event.uint32(field(3, bytes)).string('brain.Event:2');
  else if (content.kind === 'session-start') event.uint32(field(7, bytes)).fork().uint32(field(1, varint)).int32(sessionStart).ldelim();
  else {
    event.uint32(field(5, bytes)).fork();
    if (content.kind === 'scalars') {
      for (const [tag, value] of Object.entries(content.values)) {
        valueOf(event, tag).uint32(field(2, fixed32)).float(value).ldelim();
      }
    } else if (content.kind === 'image') {
      const { tag, png, width, height } = content;
      const image = valueOf(event, tag).uint32(field(4, bytes)).fork();
      image.uint32(field(1, varint)).int32(height).uint32(field(2, varint)).int32(width).uint32(field(3, varint)).int32(rgba);
      image.uint32(field(4, bytes)).bytes(png).ldelim().ldelim();
    } else {
      // TensorProto of one string; which plugin shows it stands in the value's metadata
      const value = valueOf(event, content.tag).uint32(field(8, bytes)).fork();
      value.uint32(field(1, varint)).int32(stringType).uint32(field(2, bytes)).fork().uint32(field(2, bytes)).fork();
      value.uint32(field(1, varint)).int64(1).ldelim().ldelim();
      value.uint32(field(8, bytes)).string(content.text).ldelim();
      value.uint32(field(9, bytes)).fork().uint32(field(1, bytes)).fork().uint32(field(1, bytes)).string('text').ldelim().ldelim().ldelim();
    }
    event.ldelim();
  }
  return framed(event.finish());
}

/** Begins a Summary.Value; who calls ends it by `ldelim`. */
function valueOf(summary: Writer, tag: string): Writer {
  return summary.uint32(field(1, bytes)).fork().uint32(field(1, bytes)).string(tag);
}

const varint = 0;
const fixed64 = 1;
const bytes = 2;
const fixed32 = 5;

function field(number: number, wireType: number): number {
  return (number << 3) | wireType;
}

function framed(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(16 + data.length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}
