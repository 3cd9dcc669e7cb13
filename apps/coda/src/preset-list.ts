/** Names of presets as a line of help: those that a rule makes stand once, as `hybrid-resnet{18,34,50}-layer{1,2,3,4}-coda4`. */

const byRule = /^hybrid-resnet(\d+)-layer(\d)-coda4$/;

export function presetList(names: readonly string[]): string {
  const made = names.flatMap((name) => {
    const [, depth, stage] = byRule.exec(name) ?? [];
    return depth === undefined || stage === undefined ? [] : [{ depth, stage }];
  });
  const some = (key: 'depth' | 'stage'): string => `{${[...new Set(made.map((one) => one[key]))].join(',')}}`;
  const rest = names.filter((name) => !byRule.test(name));
  return [...rest, ...(made.length === 0 ? [] : [`hybrid-resnet${some('depth')}-layer${some('stage')}-coda4`])].join(', ');
}
