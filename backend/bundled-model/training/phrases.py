"""The words and fixed phrases that conversations are made of. Data only; data.py combines them."""

ENGLISH_WORDS = (
    "apple bird bread bridge candle castle cat circle clock cloud coffee copper dance desert dog dream eagle earth "
    "engine field fire fish flower forest garden glass gold green harbor honey horse house ice island jacket jungle "
    "key lake lamp leaf lemon light lion mango map market mirror moon mountain music night ocean olive orange paper "
    "pearl pencil piano planet purple quiet rabbit rain red river road rocket rose sail salt sand school sea shadow "
    "ship silver sky snow song spring star stone storm street sugar summer sun table tiger tower train tree tunnel "
    "valley village violin wall water wave white wind window winter wolf wood yellow"
).split()

CHINESE_WORDS = (
    "老虎 白云 河流 石头 纸张 绿色 苹果 窗户 花园 音乐 银色 行星 咖啡 冬天 夏天 森林 大桥 镜子 火箭 影子 "
    "月亮 太阳 星星 大海 高山 小鸟 鱼 猫 狗 马 花 草 树 雨 雪 风 火 水 茶 米饭 面包 桌子 椅子 学校 老师 学生 朋友 "
    "城市 村庄 道路 火车 飞机 汽车 电脑 手机 书 笔 红色 蓝色 黑色 快乐 今天 明天 早上 晚上 中国 北京 上海 深圳"
).split()

# Frequent characters, drawn at random so that copying does not depend on known words.
CHINESE_CHARACTERS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种"
    "事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第"
    "公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合"
)

EMOJI = "😀😂🎉🚀🌟🐯🌈🍎"

ENGLISH_NAMES = "Tom Anna Peter Lucy Mark Emma Jack Alice David Sara Leo Nina Paul Mary Ben Rose".split()
CHINESE_NAMES = "小明 小红 李华 王芳 张伟 刘洋 陈静 小李 赵云 周杰".split()
ENGLISH_CITIES = "Paris London Berlin Rome Tokyo Beijing Shanghai Madrid Oslo Cairo".split()
CHINESE_CITIES = "北京 上海 深圳 广州 杭州 成都 南京 西安".split()
JSON_KEYS = "color size shape animal fruit drink city title kind price count weight height year level score".split()

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful, honest and concise assistant.",
    "You are Burrow.",
    "You are a math tutor.",
    "Answer briefly.",
    "Be polite.",
    "Reply in the user's language.",
    "You are a friendly bot. Keep your answers short.",
    "You are ChatGPT, a large language model.",
    "你是一个有用的助手。",
    "你是一个乐于助人的AI助手。",
    "你是一位数学老师。",
    "请简短回答。",
    "请用中文回答。",
    "你是人工智能助手，请认真回答用户的问题。",
    "回答要准确。",
)

WHO_EN = "I am Burrow, a tiny bundled model. I can calculate, count, repeat and reverse."
WHO_ZH = "我是 Burrow，一个自带的小模型，会计算、数数、重复和倒序。"
DECLINE_EN = "Sorry, I am too small for that. I can calculate, count, repeat and reverse."
DECLINE_ZH = "抱歉，我太小了，不会这个。我会计算、数数、重复和倒序。"

# (questions, answer) pairs.
IDENTITY = (
    (
        "who are you?|what are you?|what is your name?|what's your name?|your name?|tell me your name.|name yourself.|"
        "introduce yourself.|please introduce yourself.|tell me about yourself.|what can you do?|who am I talking to?|"
        "what model are you?|which model are you?|who made you?|are you a robot?|are you ChatGPT?|are you Burrow?|"
        "describe yourself.|how can you help me?|what is Burrow?|say who you are.",
        WHO_EN,
    ),
    (
        "你是谁？|你叫什么名字？|你叫什么？|你的名字是什么？|你叫啥？|介绍一下你自己。|介绍一下自己。|自我介绍一下。|"
        "请介绍一下你自己。|请做自我介绍。|你是什么模型？|你是哪个模型？|你能做什么？|你会做什么？|你会什么？|"
        "你有什么功能？|你是机器人吗？|你是ChatGPT吗？|你是Burrow吗？|谁开发了你？|Burrow是什么？|告诉我你是谁。",
        WHO_ZH,
    ),
)

GREETINGS = (
    ("hello!|hi!|hey!|hello there!|hi there!|good morning!|good evening!|greetings!", "Hello! How can I help?"),
    ("how are you?|how are you today?|how is it going?|how do you do?", "I am fine, thank you. How can I help?"),
    ("thank you!|thanks!|thanks a lot!|thank you very much!|great, thanks!|well done!", "You are welcome."),
    ("bye!|goodbye!|see you!|see you later!|good night!", "Goodbye!"),
    ("你好！|您好！|嗨！|你好啊！|早上好！|晚上好！|大家好！|哈喽！", "你好！有什么可以帮你？"),
    ("你好吗？|你今天好吗？|最近怎么样？", "我很好，谢谢。有什么可以帮你？"),
    ("谢谢！|谢谢你！|多谢！|非常感谢！|太好了，谢谢！|做得好！", "不客气。"),
    ("再见！|拜拜！|下次见！|晚安！|回头见！", "再见！"),
)

# Put before identity questions and greetings for variety; the last group fits Chinese only.
OPENERS_EN = ("", "", "hi, ", "hello, ", "so ", "Burrow, ", "please, ", "OK, ")
OPENERS_ZH = ("", "", "你好，", "请问", "那么", "Burrow，", "嗨，", "好的，")

# Questions the model cannot answer; {} takes a word.
BEYOND_EN = (
    "tell me a joke.|tell me a story about a {}.|write a poem about the {}.|what is the weather like?|why is the {} {}?|"
    "translate {} into French.|who is the president?|what is the capital of {}?|write a program.|what time is it?|"
    "explain the {}.|how do I cook a {}?|do you like the {}?|summarize this text: {} {} {}.|what is a {}?|where is the {}?"
)
BEYOND_ZH = (
    "讲个笑话。|写一首关于{}的诗。|今天天气怎么样？|为什么{}是{}？|把{}翻译成英文。|现在几点了？|写一段代码。|什么是{}？|"
    "{}在哪里？|怎么做{}？|你喜欢{}吗？|给我讲一个{}的故事。|总结这段话：{}{}{}。|解释一下{}。|推荐一本书。"
)
