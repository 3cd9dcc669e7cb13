/** A model's card for people, a line for each of its parts. */
import type { ModelCard } from '@coda-nets/core';

export function cardLines({ data, recipe, accuracy, hardware, licence, limits, source }: ModelCard): readonly string[] {
  return [
    `data: ${data}`,
    `recipe: ${recipe}`,
    ...accuracy.map(({ metric, value, on }) => `accuracy: ${metric} ${(100 * value).toFixed(2)} % (${on})`),
    ...(hardware === undefined ? [] : [`hardware: ${hardware}`]),
    `licence: ${licence}`,
    ...limits.map((limit) => `limit: ${limit}`),
    ...(source === undefined ? [] : [`source: ${source}`]),
  ];
}
