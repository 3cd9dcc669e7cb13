/** `coda info` */
import { checkWeights, CodaError, nearestName, type JsonObject, type Model } from '@coda-nets/core';
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { cardLines } from '../card-lines.ts';
import { buildNetwork, networkPresets } from '../build-network.ts';
import { defineCommand, ioOf, wholeNumber, type CommonOptions } from '../define-command.ts';
import { bytesText, networkCost } from '../network-cost.ts';
import { readModelFile } from '../open-model.ts';
import { presetList } from '../preset-list.ts';
import { isConfigFile, readConfig } from '../read-json.ts';

interface Options extends CommonOptions {
  readonly batch: number;
}

export function infoCommand(): Command {
  return defineCommand(
    'info',
    'layers, taps, shapes, parameters, multiply-adds and memory of a model or preset; whether a file’s weights are those of its config',
    'info runs/demo/hybrid.safetensors',
  )
    .argument('<model>', `a model file, a network config (.json), or a preset: ${presetList(Object.keys(networkPresets))}`)
    .option('--batch <n>', 'images that the memory is for', wholeNumber(1), 1)
    .addHelpText(
      'after',
      `
Counted are multiply-adds of convolutions and products, and float32 values: of predicting, weights and the most activations that live at once; of
training, weights, gradients, two numbers of the optimiser for each trained weight, and every activation that the backward pass may ask for. What the
engine takes for itself comes on top: \`coda train … --dry-run\` measures.`,
    )
    .action(async (name: string, options: Options) => {
      const io = ioOf(options);
      const { config, provenance, card, weights } = await configOf(name);
      const network = buildNetwork(config, name);
      const { taps, multiplyAdds, parameters, frozen, statistics, memory } = networkCost(network, { batch: options.batch });
      const differs = weights === undefined ? undefined : differenceOf(() => checkWeights(network, weights, name));
      io.say(
        `${name}: ${network.config.kind}, input [${network.inputShape.join(', ')}], ${network.classes} classes, b₀ = ${network.logitBias.toFixed(4)}`,
      );
      io.say(
        `parameters: ${parameters.toLocaleString('en')} trained, ${frozen.toLocaleString('en')} frozen, ${statistics.toLocaleString('en')} statistics`,
      );
      io.say(`multiply-adds: ${(multiplyAdds / 1e6).toFixed(1)} million an image`);
      io.say(
        `memory at batch ${memory.batch}: weights ${bytesText(memory.weights)}; predicting ${bytesText(memory.inference)}; training ${bytesText(memory.training)}, with ${memory.slots} numbers of the optimiser for each trained weight`,
      );
      const sees = taps.some(({ receptiveField }) => receptiveField !== undefined);
      io.say(`tap               map          channels  ${sees ? 'sees         ' : ''}contributions`);
      for (const { name: tap, height, width, channels, receptiveField: field, exact } of taps) {
        const seen = sees ? (field === undefined ? '–' : `${field}×${field}`).padEnd(13) : '';
        io.say(
          `${tap.padEnd(16)}  ${`${height}×${width}`.padEnd(11)}  ${String(channels).padEnd(8)}  ${seen}${exact ? 'exact' : 'gradient × activation'}`,
        );
      }
      for (const line of card === undefined ? [] : cardLines(card)) io.say(line);
      if (provenance !== undefined) io.say(`provenance: ${shownText(JSON.stringify(provenance))}`);
      io.result({
        config: network.config,
        inputShape: network.inputShape,
        classes: network.classes,
        logitBias: network.logitBias,
        parameters,
        frozen,
        statistics,
        multiplyAdds,
        memory,
        taps,
        provenance,
        card,
        ...(weights !== undefined && {
          weightsFit: differs === undefined,
          ...(differs !== undefined && { weightsDiffer: differs.problem }),
        }),
      });
      if (differs !== undefined) throw differs;
      if (weights !== undefined) io.say(`weights: ${Object.keys(weights).length} arrays, each as the config has it`);
    });
}

/** What a check throws. */
function differenceOf(check: () => void): CodaError | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (CodaError.isInstance(error)) return error;
    throw error;
  }
}

async function configOf(name: string): Promise<Partial<Pick<Model, 'provenance' | 'card' | 'weights'>> & { config: JsonObject }> {
  if (Object.hasOwn(networkPresets, name)) return { config: networkPresets[name] as JsonObject };
  if (isConfigFile(name)) return { config: await readConfig(name) };
  if (existsSync(name) || /[/\\.]/.test(name)) return readModelFile(name);
  const presets = Object.keys(networkPresets);
  const nearest = presets.find((preset) => preset.endsWith(`-${name}`)) ?? nearestName(name, presets);
  throw new CodaError({
    kind: 'argument',
    where: 'info',
    problem: `"${name}" is neither a file nor a preset`,
    expected: presets.join(', '),
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}

const MOST_SHOWN = 2000;

/** Text of a file as a terminal may have it: no control or direction characters, and not without end. */
function shownText(text: string): string {
  const safe = text.slice(0, MOST_SHOWN).replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
  return text.length > MOST_SHOWN ? `${safe}…` : safe;
}
