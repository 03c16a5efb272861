"""Train the token embeddings and the head; every block stays as it is."""

from pydantic import BaseModel, ConfigDict, Field

from whichtune.methods.base import Card, Method, register

whichtune_api = 1


class EmbeddingsSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    train_positions: bool = Field(False, description="train the position embeddings, too")


@register
class Embeddings(Method):
    name = "embeddings"
    deep = True  # gradients pass through every block
    tasks = ("classification",)
    Settings = EmbeddingsSettings
    card = Card(
        summary="Train the token embeddings and the head.",
        trains="The token embeddings and the head.",
        use_when="Your texts use words that the model hardly knows.",
        cost="A full forward and backward pass, with optimiser state for the embeddings alone.",
        learning_rate=1e-3,
        reference="An example of a plugin; see docs/plugins.md",
    )

    def attach(self, classifier, settings, seed):
        classifier.requires_grad_(False)
        for module in (classifier.backbone.get_input_embeddings(), classifier.head):
            module.requires_grad_(True)
        if settings.train_positions:
            classifier.backbone.wpe.requires_grad_(True)
