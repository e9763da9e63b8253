import { base64Json, type Representation } from "../../cutouts/representation.ts";

/** The JSON that remove.bg sends for `Accept: application/json`. */
export const jsonResult: Representation = {
  name: "removebg",
  make(file) {
    const { top, left, width, height } = file.layout!.foreground;
    const foreground = {
      foreground_top: top,
      foreground_left: left,
      foreground_width: width,
      foreground_height: height,
    };
    const after = `",${JSON.stringify(foreground).slice(1)}}`;
    return base64Json('{"data":{"result_b64":"', file, after);
  },
};
