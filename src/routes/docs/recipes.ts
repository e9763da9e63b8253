/** A task that people have, and the command for it. */
interface Recipe {
  readonly title: string;
  readonly command: (origin: string) => string;
}

const post = (query: string, file: string) => (origin: string) =>
  `curl -fS --data-binary @photo.jpg '${origin}/cutouts?${query}' -o ${file}`;

/** The start of `/docs`. The tests run each of them. */
export const recipes: readonly Recipe[] = [
  {
    title: "A white square for a shop, the product filling 85 %",
    command: post("canvas=2000x2000&background=white&format=jpeg", "product.jpg"),
  },
  { title: "Cropped to the subject, with a margin", command: post("crop=true&margin=5%25", "cutout.png") },
  { title: "The mask alone", command: post("channels=alpha", "mask.png") },
  { title: "WebP, 800 pixels wide", command: post("size=800x&format=webp", "cutout.webp") },
  {
    title: "A picture behind the subject",
    command: (origin) =>
      `curl -fS -F file=@photo.jpg -F background_image=@background.jpg -F format=jpeg ${origin}/cutouts -o composed.jpg`,
  },
  {
    title: "By address: other options for an image that was sent before, without an upload",
    command: (origin) =>
      `curl -fS "${origin}/cutouts/$(sha256sum photo.jpg | cut -d' ' -f1)?background=white" -o white.png`,
  },
];
