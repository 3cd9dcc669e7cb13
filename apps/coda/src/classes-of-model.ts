/** A data set in the numbers of a model's classes. */
import { withClasses, type ImageDataset } from '@coda-nets/train';

/** Labels of images in memory are bytes. */
const MOST_IN_MEMORY = 256;

/**
 * The images of the classes that the model knows, by their names, with the model's numbers: a model of a hundred classes meets a tree of a thousand, or one
 * of a thousand a tree of three. As it is where the names are the same, where none is known, and where a name has several classes. `say` is told of what is left out.
 */
export function inClassesOfModel(
  dataset: ImageDataset,
  classNames: readonly string[],
  where: string,
  say: (line: string) => void,
): ImageDataset {
  const { classNames: names } = dataset;
  if (names.length === classNames.length && names.every((name, c) => name === classNames[c])) return dataset;
  const places = new Map(classNames.map((name, c) => [name, c]));
  const known = names.filter((name) => places.has(name));
  const isAmbiguous = places.size < classNames.length || new Set(known).size < known.length;
  const isTooLarge = dataset.inputShape !== undefined && classNames.length > MOST_IN_MEMORY;
  if (known.length === 0 || isAmbiguous || isTooLarge) {
    say(`${where}: its class names are not the model's; class 0 is taken for the model's class 0, and so on.`);
    return dataset;
  }
  if (known.length < names.length)
    say(`${where}: ${names.length - known.length} of ${names.length} classes are none of the model's, and left out.`);
  return withClasses(dataset, classNames, new Map(names.flatMap((name, c) => (places.has(name) ? [[c, places.get(name) as number]] : []))));
}
