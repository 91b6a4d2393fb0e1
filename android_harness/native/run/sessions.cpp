#include "run/sessions.h"

#include "engine/packed_weights.h"
#include "host/files.h"
#include "host/json.h"
#include "host/machine.h"

namespace pocketllm {

void record_session(const std::string& folder, int64_t first_step, const Bundle& bundle,
                    const std::string& engine,
                    const std::function<void(const std::string&)>& say) {
  const std::string path = folder + "/machine.json";
  const Json versions = {{"pocketllm", POCKETLLM_VERSION}, {"ai-edge-litert", library_version()}};
  const Json session = {{"first_step", first_step},        {"model", bundle.model_name},
                        {"task", bundle.task_name},        {"engine", engine},
                        {"cpu", processor()},              {"cores", cores()},
                        {"memory_bytes", memory_bytes()},  {"system", system_name()},
                        {"versions", versions}};
  Json recorded = Json::array(), sessions = Json::array();
  if (const auto data = read_file(path)) {
    const Json value = Json::parse(*data, nullptr, false);
    if (value.is_object() && value.value("sessions", Json()).is_array())
      recorded = value["sessions"];
    else
      say(path + ": damaged; passed over, and written anew with what is known now");
  }
  // A session announced for these steps before never made one.
  for (const Json& earlier : recorded)
    if (earlier.is_object() && earlier.value("first_step", Json(0)) < Json(first_step))
      sessions.push_back(earlier);
  Json same = sessions.empty() ? Json::object() : sessions.back();
  same["first_step"] = first_step;
  if (nlohmann::json(same) != nlohmann::json(session)) sessions.push_back(session);
  if (sessions != recorded) write_bytes(path, json_file({{"sessions", sessions}}));
}

}  // namespace pocketllm
