/** What is read from a file and written again is the same to the byte: a run that was resumed ends in the files of one that was not. */
import type { JsonObject } from '@coda-nets/core';
import { parseTrainConfig } from '@coda-nets/train';
import { expect, it } from 'vitest';
import { buildNetwork, networkPresets } from '../src/build-network.ts';
import { trainPresets } from '../src/train-presets.ts';

it.each(Object.entries(networkPresets))('the config of the network %s', (name, preset) => {
  const { config } = buildNetwork(preset, name);
  const read = JSON.parse(JSON.stringify(config)) as JsonObject;
  expect(JSON.stringify(buildNetwork(read, name).config)).toBe(JSON.stringify(config));
});

it.each(Object.entries(trainPresets))('the config of the training %s', (name, { config: preset }) => {
  const config = parseTrainConfig(preset, name);
  const read: unknown = JSON.parse(JSON.stringify(config));
  expect(JSON.stringify(parseTrainConfig(read, name))).toBe(JSON.stringify(config));
});
