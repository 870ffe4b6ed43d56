// Fetches the page whose address it is sent, and answers with its status and title.
export default async (_, payload) => {
  const url = new TextDecoder().decode(payload);
  const { status, response } = await hostServices.promises.http.get(url);
  return { status, title: /<title>(.*?)<\/title>/s.exec(response)?.[1] ?? null };
};
