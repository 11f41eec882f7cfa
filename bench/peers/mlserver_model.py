"""MLServer's runtime for an ONNX file: the smallest there can be, one session of one thread."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options, ["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (rows,) = payload.inputs
        answers = self.session.run(self.names, {rows.name: NumpyCodec.decode_input(rows)})
        outputs = [NumpyCodec.encode_output(name, answer) for name, answer in zip(self.names, answers, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
