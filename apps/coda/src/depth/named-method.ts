/** A method by the name that people type, with the parameters of a preset; what the preset does not have is taken as its own paper has it. */
import { CodaError, nearestName } from '@coda-nets/core';
import { attributionMethods, methodPresets, presetMethod, type Method, type MethodName, type PresetName } from '@coda-nets/depth';

export interface NamedMethod {
  /** As it was asked for: `occlusion9`. */
  readonly name: string;
  readonly method: Method;
  /** Whose parameters it has. */
  readonly preset: PresetName;
}

export const presetNames = Object.keys(methodPresets) as readonly PresetName[];

/** Throws a CodaError that begins with `where`, for a name that no preset and no method has. */
export function namedMethod(name: string, preset: PresetName, where: string): NamedMethod {
  if (Object.hasOwn(methodPresets[preset], name)) return { name, method: presetMethod(preset, name), preset };
  if (Object.hasOwn(methodPresets.original, name)) return { name, method: presetMethod('original', name), preset: 'original' };
  if (Object.hasOwn(attributionMethods, name)) return { name, method: attributionMethods[name as MethodName](), preset: 'original' };
  const known = methodNames(preset);
  const nearest = nearestName(name, known);
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'no method of that name',
    expected: `one of ${known.join(', ')}`,
    got: JSON.stringify(name),
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}

/** Those of the preset first. */
export function methodNames(preset: PresetName): readonly string[] {
  return [...new Set([...Object.keys(methodPresets[preset]), ...Object.keys(methodPresets.original), ...Object.keys(attributionMethods)])];
}

export function isOnePass({ method }: NamedMethod): boolean {
  return 'formula' in method;
}
