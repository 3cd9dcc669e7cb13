/** What the parts of a depth analysis have in common: models, methods, data, and what a stored result depends on. */
import type { Engine, JsonObject, NdArray } from '@coda-nets/core';
import type { GridPreset } from '@coda-nets/depth';
import { wholeWork, loadBatch, type ImageSplit, type Share } from '@coda-nets/train';
import type { CommandIo } from '../command-io.ts';
import type { OpenModel } from '../open-model.ts';
import type { NamedMethod } from './named-method.ts';
import type { StoredParts } from './stored-parts.ts';

/** Stored numbers have so many digits: more than the 1e-4 to which engines agree. */
const DIGITS = 7;

export interface DepthModel extends OpenModel {
  readonly name: string;
  /** Of the file. */
  readonly sha256: string;
}

export interface PlannedMethod extends NamedMethod {
  /** From the input to the output. */
  readonly taps: readonly string[];
  /** Those of `taps` at which pixels, or positions, are removed. */
  readonly removalTaps: readonly string[];
}

export interface DepthWork {
  readonly engine: Engine;
  readonly split: ImageSplit;
  /** The first images of the split, float32 in [0, 1]: what grids are drawn from. */
  readonly images: NdArray<'float32'>;
  readonly classNames: readonly string[];
  readonly n: number;
  readonly grids: number;
  readonly threshold: GridPreset['threshold'];
  readonly scoring: GridPreset['scoring'];
  readonly smooth: number;
  readonly setting: 'whole' | 'difull';
  /** Images for pixel removal. */
  readonly removal: number;
  /** τ of interpretable depth. */
  readonly depthThreshold: number;
  readonly seed: number;
  readonly parts: StoredParts;
  /** Parts are dealt in turns to those who share the work; who has a share of it alone leaves results to others. Default: the whole. */
  readonly share?: Share;
  readonly io: CommandIo;
  readonly signal: AbortSignal;
}

/** Images first … first + count − 1 of the split, at the size of the networks. */
export function imagesIn(split: ImageSplit, first: number, count: number, size: readonly [number, number]): Promise<NdArray<'float32'>> {
  return loadBatch(
    split,
    Array.from({ length: count }, (_, i) => first + i),
    { size },
  );
}

/** What every part of a method depends on. */
export function keyOf({ sha256 }: DepthModel, { method }: NamedMethod, { split, engine }: DepthWork): JsonObject {
  return { model: sha256, method: method.name, parameters: method.parameters, data: split.fingerprint, engine: engine.name };
}

/** Whether others do the rest. */
export function isPartial({ share = wholeWork }: DepthWork): boolean {
  return share.count > 1;
}

export function shortened(x: number): number {
  return Number(x.toPrecision(DIGITS));
}
